"""The demo: a small dataset of Cupel's own, with samples of every fate that a sample can have.

`problems.jsonl` is in the format of `problem_file`, `samples.jsonl` in that of `formats.samples`. Each sample
row has a field `expect` besides: the name of the verdict that it must get.
"""

from __future__ import annotations

from importlib import resources

from orchestrator.datasets.problem_file import ProblemFile
from orchestrator.model import Limits

LIMITS = Limits(
    cpu_time_s=1.0,
    wall_time_s=2.0,
    memory_bytes=256 << 20,
    processes=32,
    output_bytes=1 << 20,
    disk_bytes=16 << 20,
)
"""Small, so that samples which run into them take little of anybody's time."""


class Demo(ProblemFile):
    """The demo's problems."""

    def __init__(self) -> None:
        super().__init__(_packaged("problems.jsonl"), name="demo", limits=LIMITS)


def samples_path() -> str:
    """Returns the path of the demo's own samples."""
    return _packaged("samples.jsonl")


def _packaged(name: str) -> str:
    """Returns the path of a file of this package, which is always installed as plain files."""
    return str(resources.files(__package__).joinpath(name))

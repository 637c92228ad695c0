"""Datasets: one module per format, each turning files into problems and completions into samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.datasets.bigcodebench import BigCodeBench
from orchestrator.datasets.demo import Demo
from orchestrator.datasets.humaneval import HumanEval
from orchestrator.errors import InputError, UsageError
from orchestrator.formats.row import closest

if TYPE_CHECKING:
    from orchestrator.datasets.base import Dataset

__all__ = ["load", "names"]

_NAMES = ("demo", "humaneval", "bigcodebench")


def names() -> tuple[str, ...]:
    """Returns the names that `load` knows."""
    return _NAMES


def load(
    name: str,
    *,
    data: str | None = None,
    calibrated: bool = True,
    split: str = "complete",
    subset: str = "full",
) -> Dataset:
    """Loads a dataset.

    Args:
        name: One of `names()`.
        data: A file in the dataset's own columns; the demo has its own and takes none.
        calibrated: BigCodeBench: put the prompt's code before each solution.
        split: BigCodeBench: which prompt a model is shown, "complete" or "instruct".
        subset: BigCodeBench: "full" or "hard".

    Raises:
        errors.UsageError: There is no such dataset, split or subset, or the demo was given data.
        errors.InputError: The data cannot be used, or none was given where it is needed.
    """
    if name not in _NAMES:
        hint = closest(name, _NAMES) or f"; known are {', '.join(_NAMES)}"
        raise UsageError(f"--dataset: there is no dataset {name!r}{hint}")
    if name == "demo":
        if data is not None:
            raise UsageError("--data: the demo brings its own data; leave --data out, or name another --dataset")
        return Demo()
    if data is None:
        raise InputError("needs a file of its problems; pass it with --data FILE (JSONL, may be gzipped)", file=name)
    if name == "humaneval":
        return HumanEval(data)
    return BigCodeBench(data, calibrated=calibrated, split=split, subset=subset)

"""The orchestrator's own words: problems, samples, results. Plain frozen records, no I/O.

A *problem* is one task of a dataset, a *completion* what a model wrote, a *sample* a program to run for a
problem.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Literal

CompatStatus = Literal["pass", "fail", "timeout"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits that a dataset or a user asks for; None leaves one to the server's default."""

    cpu_time_s: float | None = None
    wall_time_s: float | None = None
    memory_bytes: int | None = None
    processes: int | None = None
    output_bytes: int | None = None
    captured_bytes: int | None = None
    disk_bytes: int | None = None
    file_size_bytes: int | None = None
    open_files: int | None = None

    def overridden_by(self, wanted: Limits) -> Limits:
        """Returns these limits with those that `wanted` names in their place."""
        named = {one.name: getattr(wanted, one.name) for one in fields(wanted)}
        named = {name: value for name, value in named.items() if value is not None}
        return replace(self, **named) if named else self


@dataclass(frozen=True, slots=True)
class ScriptTask:
    """Runs a program as `__main__`."""

    source: str
    arguments: tuple[str, ...] = ()
    stdin: bytes = b""


@dataclass(frozen=True, slots=True)
class UnittestTask:
    """Judges a solution by a `unittest.TestCase` class."""

    solution: str
    test: str
    test_class: str = "TestCases"
    entry_point: str = ""
    module_name: str = "__test__"
    disabled_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FunctionCheckTask:
    """Judges a function by `check(candidate)` and by assert statements."""

    solution: str
    entry_point: str
    check: str = ""
    assertions: tuple[str, ...] = ()
    disabled_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StdioCase:
    """One input and the output expected of it."""

    stdin: bytes
    expected_stdout: bytes


@dataclass(frozen=True, slots=True)
class StdioTask:
    """Judges a program by what it prints for given inputs."""

    source: str
    cases: tuple[StdioCase, ...]
    comparison: Literal["exact", "tokens", "floats"] = "tokens"
    absolute_tolerance: float = 1e-9
    relative_tolerance: float = 1e-9
    stop_at_first_failure: bool = False


Task = ScriptTask | UnittestTask | FunctionCheckTask | StdioTask


@dataclass(frozen=True, slots=True)
class Problem:
    """One task of a dataset."""

    task_id: str
    prompt: str
    """What a model is shown."""
    entry_point: str
    reference: str
    """The reference completion; empty where the dataset has none."""
    libraries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model wrote for a problem, and where it was read."""

    task_id: str
    index: int
    """The row's own `completion_id`; without one, counts the completions of one problem from 0, in the order
    of the file, as BigCodeBench does."""
    text: str
    is_solution: bool
    """Whether `text` is a whole solution, rather than a continuation of the prompt."""
    source: str = ""
    """Where it was read, such as "samples.jsonl:12", for messages."""
    limits: Limits = field(default_factory=Limits)
    """Limits that its row asks for, in place of the dataset's."""
    is_reference: bool = False
    """Whether it is the dataset's own solution, which BigCodeBench never calibrates."""

    @property
    def sample_id(self) -> str:
        """The name of its sample in this run: task and index, or task and "reference"."""
        return f"{self.task_id}#{'reference' if self.is_reference else self.index}"


@dataclass(frozen=True, slots=True)
class Package:
    """A package that a sample needs, by what is imported of it."""

    module: str
    """What is imported, such as "sklearn"."""
    package: str = ""
    """What provides it, such as "scikit-learn"; empty where it has the module's name."""
    versions: str = ""
    """The versions that will do, such as ">=1.3,<2"; empty if any will."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A program to run for a problem."""

    sample_id: str
    task_id: str
    index: int
    task: Task
    solution: str
    """The text that result files show: the program as it was judged, without the tests."""
    limits: Limits = field(default_factory=Limits)
    environment: str = ""
    isolation: Literal["cell", "container"] = "cell"
    seed: int = 0
    strict_policy: bool = False
    environment_variables: tuple[tuple[str, str], ...] = ()
    packages: tuple[Package, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a sample, as far as scores and result files need it.

    `outcome` is the whole outcome as the contract's JSON mapping, for `<stem>_outcomes.jsonl`.
    """

    sample_id: str
    task_id: str
    index: int
    attempt: int
    verdict: str
    """The verdict's name without prefix, such as "PASSED"."""
    explanation: str
    compat_passed: bool
    compat_status: str
    strict_passed: bool
    details: dict[str, str]
    """Failing tests by name with their tracebacks, as BigCodeBench's `details`."""
    outcome: dict[str, object]

    @property
    def is_sandbox_error(self) -> bool:
        """Whether the server failed, so that the result says nothing of the sample."""
        return self.verdict == "SANDBOX_ERROR"

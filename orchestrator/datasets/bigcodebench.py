"""BigCodeBench (Zhuo et al. 2024), judged as its own harness judges it.

Source: https://github.com/bigcode-project/bigcodebench.
"""

from __future__ import annotations

import ast
import functools
import warnings
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from orchestrator.datasets.table import read_table
from orchestrator.errors import UsageError
from orchestrator.model import Completion, Limits, Problem, Sample, UnittestTask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.formats.row import Row

SPLITS = ("complete", "instruct")
SUBSETS = ("full", "hard")

LIMITS = Limits(cpu_time_s=240.0, wall_time_s=240.0, memory_bytes=8 << 30, processes=256, disk_bytes=1 << 30)
"""The harness gives 240 s by the clock, and 30 GiB of address space to each process, which hardly bounds
memory. Here 8 GiB bound all processes of a sample together. Some solutions make process pools as wide as the
machine, and threads count as processes, hence 256 of them."""

ENVIRONMENT = (
    ("TZ", "UTC"),
    ("OMP_NUM_THREADS", "1"),
    ("TF_CPP_MIN_LOG_LEVEL", "3"),
    ("TF_ENABLE_ONEDNN_OPTS", "0"),
)
DISABLED_NAMES = ("builtins.exit", "builtins.quit")

_LONGEST_LIBRARIES = 10_000


@functools.cache
def hard_ids() -> frozenset[str]:
    """Returns the ids of the hard subset: frozen data, since models' scores are part of their definition."""
    text = resources.files(__package__).joinpath("bigcodebench_hard_ids.txt").read_text(encoding="ascii")
    return frozenset(text.split())


@dataclass(frozen=True, slots=True)
class _Columns:
    """What of a problem's row is needed to assemble a program."""

    complete_prompt: str
    code_prompt: str
    test: str


class BigCodeBench:
    """The 1,140 problems of BigCodeBench, or the 148 hard ones, from a file in their own columns.

    Args:
        path: JSONL(.gz) with `task_id`, `complete_prompt`, `instruct_prompt`, `canonical_solution`,
            `code_prompt`, `test`, `entry_point` and `libs`.
        calibrated: Whether the prompt's code is put before each solution, as the leaderboard does.
        split: "complete" or "instruct": which prompt a model is shown. Programs are the same in both.
        subset: "full" or "hard".

    Raises:
        errors.InputError: The file is not such a file.
        errors.UsageError: There is no such split or subset.
    """

    name = "bigcodebench"
    environment = "bigcodebench"

    def __init__(self, path: str, *, calibrated: bool = True, split: str = "complete", subset: str = "full") -> None:
        if split not in SPLITS:
            raise UsageError(f"--split must be one of {', '.join(SPLITS)}, not {split!r}")
        if subset not in SUBSETS:
            raise UsageError(f"--subset must be one of {', '.join(SUBSETS)}, not {subset!r}")
        self._calibrated = calibrated
        self._prompt_column = f"{split}_prompt"
        self._wanted = hard_ids() if subset == "hard" else None
        self._columns: dict[str, _Columns] = {}
        self._problems: dict[str, Problem] = read_table(path, self._problem)

    @property
    def problems(self) -> Mapping[str, Problem]:
        """The problems by task id, in the file's order."""
        return self._problems

    def sample(self, completion: Completion) -> Sample:
        """Assembles a program: a solution, or the prompt and what continues it; calibrated if asked for.

        Ground truth is never calibrated.
        """
        columns = self._columns[completion.task_id]
        problem = self._problems[completion.task_id]
        solution = completion.text if completion.is_solution else columns.complete_prompt + completion.text
        if self._calibrated and not completion.is_reference:
            # What the model wrote defines the function once more; its own imports may be missing.
            solution = columns.code_prompt + "\n    pass\n" + solution
        return Sample(
            sample_id=completion.sample_id,
            task_id=completion.task_id,
            index=completion.index,
            task=UnittestTask(
                solution=solution,
                test=columns.test,
                entry_point=problem.entry_point,
                disabled_names=DISABLED_NAMES,
            ),
            solution=solution,
            limits=LIMITS.overridden_by(completion.limits),
            environment_variables=ENVIRONMENT,
        )

    def reference(self, task_id: str) -> Completion:
        """Returns the canonical solution, a continuation of the complete prompt on a new line."""
        text = "\n" + self._problems[task_id].reference
        return Completion(task_id, 0, text, is_solution=False, source="the reference", is_reference=True)

    def _problem(self, row: Row) -> Problem | None:
        """Returns the problem that a row holds, and keeps the columns that programs are made of."""
        task_id = row.name("task_id")
        columns = _Columns(row.name("complete_prompt"), row.name("code_prompt"), row.name("test"))
        problem = Problem(
            task_id=task_id,
            prompt=row.name(self._prompt_column),
            entry_point=row.name("entry_point"),
            reference=row.text("canonical_solution"),
            libraries=_libraries(row),
        )
        if self._wanted is not None and task_id not in self._wanted:
            return None
        self._columns.setdefault(task_id, columns)
        return problem


def _libraries(row: Row) -> tuple[str, ...]:
    """Returns the libraries of a problem, which stand in the file as the text of a Python list."""
    text = row.text("libs", "[]")
    fault = row.fault("must be the text of a Python list of names, such as \"['numpy']\"", "libs")
    if len(text) > _LONGEST_LIBRARIES:
        raise fault
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the parser warns of strange escapes, which are no concern here
            value = ast.literal_eval(text)
    # literal_eval documents these five for malformed or overly nested text.
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise fault from None
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise fault
    return tuple(value)

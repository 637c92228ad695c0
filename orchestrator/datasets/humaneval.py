"""HumanEval (Chen et al. 2021, https://github.com/openai/human-eval), judged as its own harness judges it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.datasets.table import read_table
from orchestrator.model import Completion, FunctionCheckTask, Limits, Problem, Sample

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.formats.row import Row

_OS_FUNCTIONS = (
    "kill system putenv remove removedirs rmdir fchdir setuid fork forkpty killpg rename renames truncate "
    "replace unlink fchmod fchown chmod chown chroot lchflags lchmod lchown getcwd chdir"
)
DISABLED_NAMES = (
    "builtins.exit",
    "builtins.quit",
    "builtins.help",
    *(f"os.{name}" for name in _OS_FUNCTIONS.split()),
    "shutil.rmtree",
    "shutil.move",
    "shutil.chown",
    "subprocess.Popen",
    "ipdb",
    "joblib",
    "resource",
    "psutil",
    "tkinter",
)
"""What the harness's `reliability_guard` sets to None: a solution that uses one of them fails there, so here
too. A name without a dot is a module."""

LIMITS = Limits(cpu_time_s=3.0, wall_time_s=3.0, memory_bytes=4 << 30)
"""The harness gives 3.0 s by the clock. Wall time here leaves out waiting for a CPU, so that a busy machine
times nothing out that a quiet one passes. The harness bounds no memory; the problems need very little."""

_ENVIRONMENT = (("OMP_NUM_THREADS", "1"),)


class HumanEval:
    """The 164 problems of HumanEval, from a file in their own columns.

    Args:
        path: JSONL(.gz) with `task_id`, `prompt`, `entry_point`, `canonical_solution` and `test`.

    Raises:
        errors.InputError: The file is not such a file.
    """

    name = "humaneval"
    environment = ""

    def __init__(self, path: str) -> None:
        self._tests: dict[str, str] = {}
        self._problems: dict[str, Problem] = read_table(path, self._problem)

    @property
    def problems(self) -> Mapping[str, Problem]:
        """The problems by task id, in the file's order."""
        return self._problems

    def sample(self, completion: Completion) -> Sample:
        """Assembles `prompt + completion`; a whole solution stands alone, as EvalPlus has it."""
        problem = self._problems[completion.task_id]
        solution = completion.text if completion.is_solution else problem.prompt + completion.text
        return Sample(
            sample_id=completion.sample_id,
            task_id=completion.task_id,
            index=completion.index,
            task=FunctionCheckTask(
                solution=solution,
                entry_point=problem.entry_point,
                check=self._tests[completion.task_id],
                disabled_names=DISABLED_NAMES,
            ),
            solution=solution,
            limits=LIMITS.overridden_by(completion.limits),
            environment_variables=_ENVIRONMENT,
        )

    def reference(self, task_id: str) -> Completion:
        """Returns the canonical solution, a continuation of the prompt."""
        problem = self._problems[task_id]
        return Completion(task_id, 0, problem.reference, is_solution=False, source="the reference", is_reference=True)

    def _problem(self, row: Row) -> Problem:
        """Returns the problem that a row holds, and keeps its tests."""
        problem = Problem(
            task_id=row.name("task_id"),
            prompt=row.name("prompt"),
            entry_point=row.name("entry_point"),
            reference=row.text("canonical_solution"),
        )
        self._tests.setdefault(problem.task_id, row.name("test"))
        return problem

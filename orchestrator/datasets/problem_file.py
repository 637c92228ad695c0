"""Problems in Cupel's own format: a JSONL(.gz) file with a row for each problem, of any task kind.

Fields of every row:

    task_id                 the problem's name, once in the file
    kind                    "script", "unittest", "function_check" or "stdio"
    prompt                  what a model is shown
    code_prompt             what a `completion` continues; without it the prompt for unittest and
                            function_check, and nothing for script and stdio, whose prompts are prose
    reference               a completion that passes; may be left out
    libraries               names of libraries that solutions use, for reports
    limits                  as in a sample file; those not named are the dataset's or the server's defaults
    policy                  "permissive" (the default), or "strict": what has rejecting findings is not run
    environment             the environment to run in; without it the server's choice, by packages and imports
    packages                what solutions or tests import, each with the package that provides it and the versions
                            that will do: {"sklearn": "scikit-learn>=1.3,<2", "numpy": ""}; empty where any version
                            of a package of that name will do. No server that lacks one takes the sample
    environment_variables   an object of texts

Fields of one kind:

    script           arguments (a list of texts), stdin; passes when it ends by itself with exit code 0
    unittest         test (needed), test_class ("TestCases"), entry_point
    function_check   entry_point (needed), check (source that defines `check(candidate)`), assertions (a list
                     of assert statements); one of the last two is needed
    stdio            cases (a list of {"stdin", "expected"}, at least one), comparison ("tokens", "exact" or
                     "floats"), absolute_tolerance, relative_tolerance, stop_at_first_failure

A field that is not listed is an error: a misspelt one would change scores in silence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, cast

from orchestrator.datasets.table import read_table
from orchestrator.errors import InputError
from orchestrator.formats.row import shown
from orchestrator.model import (
    Completion,
    FunctionCheckTask,
    Limits,
    Package,
    Problem,
    Sample,
    ScriptTask,
    StdioCase,
    StdioTask,
    Task,
    UnittestTask,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.formats.row import Row

_COMMON = (
    "task_id",
    "kind",
    "prompt",
    "code_prompt",
    "reference",
    "libraries",
    "limits",
    "policy",
    "environment",
    "packages",
    "environment_variables",
)
_OF_KIND = {
    "script": ("arguments", "stdin"),
    "unittest": ("test", "test_class", "entry_point"),
    "function_check": ("entry_point", "check", "assertions"),
    "stdio": ("cases", "comparison", "absolute_tolerance", "relative_tolerance", "stop_at_first_failure"),
}
_CASE = ("stdin", "expected")
_PROSE_KINDS = ("script", "stdio")
_TOLERANCE = 1e-9
_MODULE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)
_LONGEST_NAME = 100
"""Servers take no longer ones."""


@dataclass(frozen=True, slots=True)
class _Assembly:
    """What is needed to make a sample of a completion."""

    code_prompt: str
    task: Task
    """The task without its program."""
    limits: Limits
    strict_policy: bool
    environment: str
    packages: tuple[Package, ...]
    environment_variables: tuple[tuple[str, str], ...]


class ProblemFile:
    """A dataset in Cupel's own format.

    Args:
        path: The file.
        name: Its name on the command line.
        limits: Limits of problems whose rows name none.

    Raises:
        errors.InputError: The file is not in the format; all that is wrong is told at once.
    """

    environment = ""

    def __init__(self, path: str, *, name: str, limits: Limits | None = None) -> None:
        self.name = name
        self._path = path
        self._limits = limits or Limits()
        self._assemblies: dict[str, _Assembly] = {}
        self._problems: dict[str, Problem] = read_table(path, self._problem)

    @property
    def problems(self) -> Mapping[str, Problem]:
        """The problems by task id, in the file's order."""
        return self._problems

    def sample(self, completion: Completion) -> Sample:
        """Assembles a program: a solution, or the code prompt and what continues it."""
        assembly = self._assemblies[completion.task_id]
        solution = completion.text if completion.is_solution else assembly.code_prompt + completion.text
        return Sample(
            sample_id=completion.sample_id,
            task_id=completion.task_id,
            index=completion.index,
            task=_with_program(assembly.task, solution),
            solution=solution,
            limits=assembly.limits.overridden_by(completion.limits),
            environment=assembly.environment,
            packages=assembly.packages,
            strict_policy=assembly.strict_policy,
            environment_variables=assembly.environment_variables,
        )

    def reference(self, task_id: str) -> Completion:
        """Returns the reference completion of a problem.

        Raises:
            errors.InputError: The problem has none.
        """
        text = self._problems[task_id].reference
        if not text:
            raise InputError(
                f"problem {task_id!r} has none; add it, or leave the problem out",
                file=self._path,
                field="reference",
            )
        return Completion(task_id, 0, text, is_solution=False, source="the reference", is_reference=True)

    def _problem(self, row: Row) -> Problem:
        """Returns the problem that a row holds, and keeps how its samples are assembled."""
        task_id = row.name("task_id")
        kind = row.choice("kind", tuple(_OF_KIND))
        row.only(_COMMON + _OF_KIND[kind])
        prompt = row.name("prompt")
        assembly = _Assembly(
            code_prompt=row.text("code_prompt", "" if kind in _PROSE_KINDS else prompt),
            task=_task(row, kind),
            limits=self._limits.overridden_by(row.limits()),
            strict_policy=row.choice("policy", ("permissive", "strict"), "permissive") == "strict",
            environment=row.text("environment", ""),
            packages=_packages(row),
            environment_variables=tuple(row.mapping("environment_variables").items()),
        )
        problem = Problem(
            task_id=task_id,
            prompt=prompt,
            entry_point=row.text("entry_point", "") if kind not in _PROSE_KINDS else "",
            reference=row.text("reference", ""),
            libraries=row.texts("libraries"),
        )
        self._assemblies.setdefault(task_id, assembly)
        return problem


def _packages(row: Row) -> tuple[Package, ...]:
    """Returns the packages of a row."""
    declared = row.mapping("packages")
    return tuple(_package(row, module, words) for module, words in declared.items())


def _package(row: Row, module: str, words: str) -> Package:
    """Returns a package by what is imported of it and by what pip would be told: a name, versions, both or neither."""
    field = f"packages.{shown(module)[1:-1]}"
    if not _MODULE.fullmatch(module):
        raise row.fault("is not what a program imports, such as 'sklearn'", field)
    if not words.strip():
        return Package(module)
    # Not at the top: few files have packages, and a run is to start fast.
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415 -- as above

    form = row.fault(
        f"must be a package with the versions that will do, such as 'numpy>=1.26,<2', not {shown(words)}", field
    )
    try:
        wanted = Requirement(words)
    except InvalidRequirement:
        raise form from None
    if wanted.extras or wanted.url or wanted.marker or max(len(module), len(words)) > _LONGEST_NAME:
        raise form
    return Package(module, wanted.name, str(wanted.specifier))


def _with_program(task: Task, program: str) -> Task:
    """Returns a task with a program in it."""
    if isinstance(task, UnittestTask | FunctionCheckTask):
        return replace(task, solution=program)
    return replace(task, source=program)


def _task(row: Row, kind: str) -> Task:
    """Returns the task of a row, without a program."""
    if kind == "script":
        return ScriptTask(source="", arguments=row.texts("arguments"), stdin=row.text("stdin", "").encode())
    if kind == "unittest":
        return UnittestTask(
            solution="",
            test=row.name("test"),
            test_class=row.text("test_class", "TestCases"),
            entry_point=row.text("entry_point", ""),
        )
    if kind == "function_check":
        check, assertions = row.text("check", ""), row.texts("assertions")
        if not check and not assertions:
            raise row.fault("and 'assertions' are missing; one of them must hold the tests", "check")
        return FunctionCheckTask(solution="", entry_point=row.name("entry_point"), check=check, assertions=assertions)
    return _stdio_task(row)


def _stdio_task(row: Row) -> StdioTask:
    """Returns the task of a row of the kind stdio, without a program."""
    cases = []
    for case in row.objects("cases"):
        case.only(_CASE)
        cases.append(StdioCase(case.text("stdin", "").encode(), case.text("expected").encode()))
    if not cases:
        raise row.fault("is missing or empty; there must be at least one case", "cases")
    comparison = row.choice("comparison", ("tokens", "exact", "floats"), "tokens")
    return StdioTask(
        source="",
        cases=tuple(cases),
        comparison=cast("Literal['tokens', 'exact', 'floats']", comparison),
        absolute_tolerance=row.positive("absolute_tolerance", _TOLERANCE),
        relative_tolerance=row.positive("relative_tolerance", _TOLERANCE),
        stop_at_first_failure=row.boolean("stop_at_first_failure", default=False),
    )

"""Screens samples: do they parse, is the entry point there, which tests must be reported, what do rules see.

Reads and never executes. What it finds is evidence, not a wall: see `rules.toml`. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from sandbox_server.model import Finding, FunctionCheckTask, Screening, ScriptTask, StdioTask, UnittestTask
from sandbox_server.screening.declared import Asked, asked_of, declared_tests
from sandbox_server.screening.definitions import defines
from sandbox_server.screening.imports import needed
from sandbox_server.screening.matching import MAXIMUM_FINDINGS, find
from sandbox_server.screening.parsing import parse
from sandbox_server.screening.rules import RuleError, RuleSet, default_rules, read_rules

if TYPE_CHECKING:
    from sandbox_server.model import Task

__all__ = [
    "MAXIMUM_FINDINGS",
    "Asked",
    "RuleError",
    "RuleSet",
    "asked_of",
    "declared_tests",
    "default_rules",
    "read_rules",
    "screen",
]

# Nothing that a person or a model writes nests so deep; what nests so deep hides from every rule.
_TOO_DEEP = Finding("too-deep", "nests too deep to be screened", line=1, column=1, rejects=True)


def screen(task: Task, rules: RuleSet | None = None, *, imports: bool = False) -> Screening:
    """Screens a task.

    Only the solution counts for syntax and rules: the tests are the dataset's. Whatever the source,
    nothing is raised; time and memory grow with its size (see `parsing.parse`).

    Args:
        task: What to screen.
        rules: What to look for; None means the rule set that comes with the server.
        imports: Whether to look for what it imports, which takes another parse of its tests.
    """
    source, entry_point = _program(task)
    parsed = parse(source)
    tests = _tests(task)
    if parsed.fault is not None:
        return Screening(parsed.fault, entry_point_found=not entry_point, findings=(), declared_tests=tests)
    if parsed.tree is None:
        return Screening(None, entry_point_found=True, findings=(_TOO_DEEP,), declared_tests=tests)
    return Screening(
        syntax_fault=None,
        entry_point_found=not entry_point or defines(parsed.tree, entry_point),
        findings=find(parsed.tree, source, rules or default_rules()),
        declared_tests=tests,
        imports=needed(task, parsed.tree) if imports else None,
    )


def _program(task: Task) -> tuple[str, str]:
    """Returns the source of a sample's own program, and its entry point."""
    if isinstance(task, UnittestTask | FunctionCheckTask):
        return task.solution, task.entry_point
    return task.source, ""


def _tests(task: Task) -> tuple[str, ...] | None:
    """Returns the tests that must be reported, by the ids that the harness gives them."""
    if isinstance(task, UnittestTask):
        return declared_tests(task.test, task.test_class)
    if isinstance(task, FunctionCheckTask):
        return (
            *(("check",) if task.check else ()),
            *(f"assertion {number}" for number in range(len(task.assertions))),
        )
    if isinstance(task, StdioTask):
        return tuple(f"case {number}" for number in range(len(task.cases)))
    if isinstance(task, ScriptTask):
        return ()
    assert_never(task)

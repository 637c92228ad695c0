"""Counts a sample's results against the tests that had to be reported.

Where a test was skipped, or failed as expected, it matters who wanted it. The rule: what the source of the
tests itself asks for is excused, anything else is the sample's doing. Tests ask for a skip by
`unittest.skip`, `skipIf` or `skipUnless` on the test or its class, or by `skipTest` or `SkipTest` in the
test or in `setUp` or `setUpClass` of its class; for an expected failure by `unittest.expectedFailure`. An
excused test counts as neither passed nor failed: one test at least must pass.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox_server.model import FunctionCheckTask, ScriptTask, TestResult, TestStatus, UnittestTask
from sandbox_server.screening import Asked, asked_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox_server.model import Facts, Screening, Task

_FAILING = frozenset(
    {TestStatus.FAILED, TestStatus.ERROR, TestStatus.WRONG_OUTPUT, TestStatus.UNSPECIFIED, TestStatus.NOT_RUN}
)
_UNUSUAL = frozenset({TestStatus.SKIPPED, TestStatus.EXPECTED_FAILURE, TestStatus.UNEXPECTED_SUCCESS})
_LAST_WORD = re.compile(r"([A-Za-z_]\w*)\W*$")


@dataclass(frozen=True, slots=True)
class Tally:
    """A sample's results, sorted by what they mean. Ids are in the order of the report."""

    results: tuple[TestResult, ...]
    """What was reported, and NOT_RUN for each test that had to be and was not."""
    declared: tuple[str, ...]
    passed: int
    failing: tuple[TestResult, ...]
    unexcused: tuple[TestResult, ...]
    """Skipped, failed as expected or passed unexpectedly, without the tests' asking."""
    excused: tuple[TestResult, ...]
    missing: tuple[str, ...]
    """Declared, and without a result."""
    unknown: tuple[str, ...]
    """Reported, and not declared."""
    asked: Asked


def tally(task: Task, screening: Screening, facts: Facts) -> Tally:
    """Counts the results of a sample."""
    declared = _declared(screening, facts)
    known = frozenset(declared)
    counted = tuple(result for result in facts.results if result.test_id in known or _is_fixture(result))
    reported = (*(facts.reported_tests or ()), *(result.test_id for result in facts.results))
    accepted = known.union(result.test_id for result in counted)
    resulted = {result.test_id for result in facts.results}
    missing = tuple(name for name in declared if name not in resulted)
    unusual = tuple(result for result in counted if result.status in _UNUSUAL)
    asked = _asked(task) if unusual or facts.integrity else Asked()
    return Tally(
        results=(*facts.results, *(TestResult(name, TestStatus.NOT_RUN) for name in missing)),
        declared=declared,
        passed=sum(result.status is TestStatus.PASSED for result in counted),
        failing=tuple(result for result in counted if result.status in _FAILING),
        unexcused=tuple(result for result in unusual if not _is_excused(result, asked)),
        excused=tuple(result for result in unusual if _is_excused(result, asked)),
        missing=missing,
        unknown=_once(name for name in reported if name not in accepted),
        asked=asked,
    )


def changed_by_sample(change: str, asked: Asked) -> bool:
    """Tells whether a change of the test framework or the builtins is the sample's.

    It is, unless it was seen after the tests and the tests' source itself assigns to something of that name.
    """
    if not change.startswith("after test"):
        return True
    word = _LAST_WORD.search(change.removesuffix(" was added")[-300:])
    return word is None or word.group(1) not in asked.attributes


def _declared(screening: Screening, facts: Facts) -> tuple[str, ...]:
    """Returns the tests that must have a result: by the source, else by the plan that was reported."""
    if screening.declared_tests is not None:
        return screening.declared_tests
    return _once(facts.reported_tests or ())


def _is_fixture(result: TestResult) -> bool:
    """Whether a result is of a class's or module's fixture, as "setUpClass (TestCases)": never a pass."""
    return result.test_id.endswith(")") and result.status in {TestStatus.ERROR, TestStatus.SKIPPED}


def _is_excused(result: TestResult, asked: Asked) -> bool:
    if result.status is TestStatus.SKIPPED:
        return result.test_id in asked.skips
    return result.status is TestStatus.EXPECTED_FAILURE and result.test_id in asked.expected_failures


def _asked(task: Task) -> Asked:
    if isinstance(task, UnittestTask):
        return asked_of(task.test, task.test_class)
    if isinstance(task, FunctionCheckTask):
        return asked_of("\n".join([task.check, *task.assertions]), "")
    return Asked()


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def has_tests(task: Task) -> bool:
    """Tells whether a task is judged by results of tests or cases."""
    return not isinstance(task, ScriptTask)

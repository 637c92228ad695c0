"""Turns facts into judgements. Pure: the same facts, the same judgement.

`precedence` decides which fact counts, `tally` compares results with the tests that had to be there,
`compat` says what the original harness would have said. The verdict is made here, outside of every cell,
and never from exit code 0 or a report alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox_server.model import Judgement, Policy, TestResult, TestStatus, Verdict
from sandbox_server.verdict.compat import is_pass, status_after_run, status_without_run
from sandbox_server.verdict.lacking import lacking
from sandbox_server.verdict.precedence import Evidence, decide
from sandbox_server.verdict.tally import tally
from sandbox_server.verdict.text import scrub

if TYPE_CHECKING:
    from sandbox_server.model import Environment, Facts, Limits, Screening, Task
    from sandbox_server.verdict.tally import Tally

__all__ = ["before_run", "judge", "scrub"]

_MAXIMUM_REASONS = 20
_REASON_CHARACTERS = 300
_WORDS = {
    TestStatus.UNSPECIFIED: "unknown status",
    TestStatus.FAILED: "failed",
    TestStatus.ERROR: "error",
    TestStatus.SKIPPED: "skipped",
    TestStatus.EXPECTED_FAILURE: "expected failure",
    TestStatus.UNEXPECTED_SUCCESS: "unexpected success",
    TestStatus.WRONG_OUTPUT: "wrong output",
    TestStatus.NOT_RUN: "not run",
}


def before_run(task: Task, policy: Policy, screening: Screening) -> Judgement | None:
    """Returns the judgement of a sample that need not be run, None for one that must.

    A missing entry point is no reason: what `exec` or a star import defines, reading does not see.
    """
    if screening.syntax_fault is not None:
        fault = screening.syntax_fault
        place = f" (line {fault.line}, column {fault.column})" if fault.line else ""
        verdict, explanation = Verdict.SYNTAX_ERROR, f"Does not parse: {fault.message}{place}"
    elif policy is Policy.STRICT and screening.rejected_by_strict:
        finding = next(finding for finding in screening.findings if finding.rejects)
        verdict = Verdict.POLICY_REJECTED
        explanation = f"The strict policy rejects it: {finding.message} (line {finding.line})"
    else:
        return None
    status = status_without_run(task, screening.syntax_fault)
    shown = scrub(explanation)
    return Judgement(
        verdict=verdict,
        explanation=shown,
        compat_passed=is_pass(status),
        compat_status=status,
        strict_passed=False,
        strict_reasons=_bounded([shown]),
        results=tuple(TestResult(name, TestStatus.NOT_RUN) for name in screening.declared_tests or ()),
    )


def judge(
    task: Task, limits: Limits, screening: Screening, facts: Facts, environment: Environment | None = None
) -> Judgement:
    """Returns the judgement of a sample that was run, in both views.

    Args:
        task: What was run.
        limits: The limits that were in force.
        screening: What its screening saw, which tells the tests that had to be reported.
        facts: What became of it. Whatever they say, nothing is raised.
        environment: Where it ran, if that is known; only the explanation of an import that failed tells of it.
    """
    counted = tally(task, screening, facts)
    verdict, explanation = decide(Evidence(task, limits, facts, counted))
    shown = scrub(explanation)
    passed = verdict is Verdict.PASSED
    status = status_after_run(task, facts, verdict)
    unjudged = verdict in {Verdict.SANDBOX_ERROR, Verdict.CANCELLED}
    reasons = [] if unjudged else _reasons(facts, counted)
    if not reasons and not passed:
        reasons = [shown]
    lacks = lacking(shown, environment) if verdict is Verdict.IMPORT_MISSING and environment is not None else ""
    return Judgement(
        verdict=verdict,
        explanation=f"{shown.removesuffix('.')}. {lacks}" if lacks else shown,
        compat_passed=is_pass(status),
        compat_status=status,
        strict_passed=passed,
        strict_reasons=_bounded(reasons),
        results=counted.results,
    )


def _reasons(facts: Facts, counted: Tally) -> list[str]:
    """Returns why the strict view is no pass, or differs from the compat view: signs first, then tests."""
    reasons = [f"tampering: {sign}" for sign in facts.tampering]
    reasons += [f"changed {change}" for change in facts.integrity]
    reasons += [f"not declared: {name}" for name in counted.unknown]
    reasons += [f"{_WORDS[one.status]}: {one.test_id}" for one in (*counted.failing, *counted.unexcused)]
    reasons += [f"{_WORDS[one.status]}, as the tests ask: {one.test_id}" for one in counted.excused]
    reasons += [f"not run: {name}" for name in counted.missing]
    if facts.reported_tests == ():
        reasons.insert(0, "zero tests")
    return reasons


def _bounded(reasons: list[str]) -> tuple[str, ...]:
    kept = [scrub(reason, _REASON_CHARACTERS) for reason in reasons[:_MAXIMUM_REASONS]]
    if len(reasons) > len(kept):
        kept.append(f"and {len(reasons) - len(kept)} more")
    return tuple(kept)

"""What scores and result files need of an outcome. Pure: outcomes are in the contract's JSON mapping here."""

from __future__ import annotations

from typing import Any

from orchestrator.model import Result

_FAILING = frozenset({"TEST_STATUS_FAILED", "TEST_STATUS_ERROR", "TEST_STATUS_WRONG_OUTPUT"})


def result_of(sample_id: str, task_id: str, index: int, outcome: dict[str, Any]) -> Result:
    """Returns what scores and result files need of an outcome in JSON, as `wire.outcome_json` made it."""
    name = outcome.get("verdict")
    # A verdict that this version does not know is a sample that did not pass: so the contract has it.
    verdict = name.removeprefix("VERDICT_") if isinstance(name, str) else "UNSPECIFIED"
    judged = verdict not in {"SANDBOX_ERROR", "UNSPECIFIED"}
    compat = outcome.get("compat", {})
    details = {
        test["test_id"]: test.get("detail", "") for test in outcome.get("tests", ()) if test.get("status") in _FAILING
    }
    if outcome.get("error"):
        details.setdefault("ALL", outcome["error"])
    return Result(
        sample_id=sample_id,
        task_id=task_id,
        index=index,
        attempt=outcome.get("attempt", 1),
        verdict=verdict,
        explanation=outcome.get("explanation", ""),
        compat_passed=judged and compat.get("passed", False),
        compat_status=compat.get("status", ""),
        strict_passed=judged and outcome.get("strict", {}).get("passed", False),
        details=details,
        outcome=outcome,
    )

"""Judges the cases of a stdio sample, outside the cell: what is expected never enters it."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from . import compare, protocol

_DETAIL_BYTES = 4096


class Cases:
    """The cases of one sample, one after the other.

    Args:
        tests: As in the agent's protocol.
        limits: The limits of the sample; those on time hold for each case.
    """

    def __init__(self, tests: Dict[str, Any], limits: Dict[str, Any]) -> None:
        self._cases = tests["cases"]
        self._comparison = tests["comparison"]
        self._stop_at_first_failure = tests["stop_at_first_failure"]
        self._captured_bytes = limits["captured_bytes"]
        self._expected = b""
        self._results: List[Dict[str, Any]] = []
        self._worst: Optional[Dict[str, Any]] = None
        self._last: Optional[Dict[str, Any]] = None

    def next_case(self) -> Optional[Dict[str, Any]]:
        """Returns the message that starts the next case, or None when enough is known."""
        stopped = self._worst is not None and (self._stop_at_first_failure or self._worst["limit"])
        if stopped or len(self._results) == len(self._cases):
            return None
        case = self._cases[len(self._results)]
        self._expected = protocol.unb64(case["expected_b64"])
        # Comparing needs all of a right output; the first half of what is kept is its head.
        kept_bytes = max(self._captured_bytes, 4 * len(self._expected) + 4096)
        return {"op": "case", "stdin_b64": case["stdin_b64"], "kept_bytes": kept_bytes}

    def take(self, facts: Dict[str, Any], seconds: float) -> None:
        """Takes what became of the case that `next_case` started."""
        result = {"test_id": "case %d" % len(self._results), "status": "passed", "detail": "", "seconds": seconds}
        actual = protocol.unb64(facts["stdout"]["head_b64"])
        whole = facts["stdout"]["total_bytes"] <= len(actual)
        rule = self._comparison
        if facts["exit_code"] != 0 or facts["limit"]:
            result["status"] = "error"
            result["detail"] = protocol.unb64(facts["stderr"]["tail_b64"] or facts["stderr"]["head_b64"])[
                -_DETAIL_BYTES:
            ].decode("utf-8", "replace")
        elif not whole:
            result["status"] = "wrong_output"
            result["detail"] = "%d bytes of output where %d were expected" % (
                facts["stdout"]["total_bytes"],
                len(self._expected),
            )
        elif not compare.outputs_equal(
            actual, self._expected, rule["mode"], rule["absolute_tolerance"], rule["relative_tolerance"]
        ):
            result["status"] = "wrong_output"
            result["detail"] = compare.first_difference(actual, self._expected, rule["mode"])
        self._results.append(result)
        self._last = facts
        if result["status"] != "passed" and self._worst is None:
            self._worst = facts

    def facts(self, last: Dict[str, Any]) -> Dict[str, Any]:
        """Returns the facts of the sample: those of the first case that failed, with what all cases used.

        Args:
            last: What the cell sent at its end.
        """
        shown = dict(self._worst or self._last or last)
        for name in ("stdout", "stderr"):
            if name in shown:
                shown[name] = _cut(shown[name], self._captured_bytes)
        if self._last is not None:
            shown["usage"] = self._last["usage"]
        shown["timeline"] = last.get("timeline", {})
        shown["results"] = self._results
        shown["reported_tests"] = [result["test_id"] for result in self._results]
        if "sandbox_fault" in last:
            shown["sandbox_fault"] = last["sandbox_fault"]
        return shown


def _cut(output: Dict[str, Any], kept_bytes: int) -> Dict[str, Any]:
    head, tail = protocol.unb64(output["head_b64"]), protocol.unb64(output["tail_b64"])
    if len(head) + len(tail) <= kept_bytes:
        return output
    half = kept_bytes // 2
    tail = tail[-half:] if tail else head[half:][-half:]
    return {**output, "head_b64": protocol.b64(head[:half]), "tail_b64": protocol.b64(tail)}

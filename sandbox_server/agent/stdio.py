"""Judges the cases of a stdio sample, outside the cell: what is expected never enters it."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

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
        self._totals = {"cpu_user_s": 0.0, "cpu_system_s": 0.0, "wall_s": 0.0}
        self._peaks = {"peak_memory_bytes": 0, "peak_processes": 0}

    def next_case(self) -> Optional[Tuple[bytes, int]]:
        """Returns the input of the next case and how much output to keep, or None when enough is known."""
        stopped = self._worst is not None and (self._stop_at_first_failure or self._worst["limit"])
        if stopped or len(self._results) == len(self._cases):
            return None
        case = self._cases[len(self._results)]
        self._expected = protocol.unb64(case["expected_b64"])
        # Comparing needs all of a right output; the first half of what is kept is its head.
        return protocol.unb64(case["stdin_b64"]), max(self._captured_bytes, 4 * len(self._expected) + 4096)

    def take(self, facts: Dict[str, Any]) -> None:
        """Takes what became of the case that `next_case` started."""
        seconds = facts["usage"]["wall_s"]
        for name in self._totals:
            self._totals[name] += facts["usage"][name]
        for name in self._peaks:
            self._peaks[name] = max(self._peaks[name], facts["usage"][name])
        result = {
            "test_id": "case %d" % len(self._results),
            "status": "passed",
            "detail": "",
            "seconds": seconds,
        }
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
            result["detail"] = compare.first_difference(
                actual, self._expected, rule["mode"], rule["absolute_tolerance"], rule["relative_tolerance"]
            )
        self._results.append(result)
        if result["status"] != "passed" and self._worst is None:
            self._worst = facts

    def facts(self, last: Dict[str, Any]) -> Dict[str, Any]:
        """Returns the facts of the sample: those of the first case that failed, with what all cases used together.

        Args:
            last: The facts of the last case that was run.
        """
        shown = dict(self._worst or last)
        for name in ("stdout", "stderr"):
            shown[name] = _cut(shown[name], self._captured_bytes)
        shown["usage"] = {**shown["usage"], **self._totals, **self._peaks}
        shown["results"] = self._results
        shown["reported_tests"] = [result["test_id"] for result in self._results]
        return shown


def _cut(output: Dict[str, Any], kept_bytes: int) -> Dict[str, Any]:
    head, tail = protocol.unb64(output["head_b64"]), protocol.unb64(output["tail_b64"])
    if len(head) + len(tail) <= kept_bytes:
        return output
    half = kept_bytes // 2
    tail = tail[-half:] if tail else head[half:][-half:]
    return {**output, "head_b64": protocol.b64(head[:half]), "tail_b64": protocol.b64(tail)}

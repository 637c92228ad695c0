"""Reads what comes up from a sample's process, in the cell's supervisor. Pure: bytes in, facts out.

Every byte is hostile: the sample has the channel too. What breaks the form is recorded as tampering and
otherwise ignored. What keeps it is still only a claim, of a process that had the nonce.
"""

from __future__ import annotations

import json
import os
from typing import Any, Callable, Dict, FrozenSet, List, NoReturn, Optional, Set

MAXIMUM_MESSAGE_BYTES = 60_000
MAXIMUM_TOTAL_BYTES = 4 << 20
MAXIMUM_RESULTS = 20_000
MAXIMUM_TAMPERING = 10
MAXIMUM_INTEGRITY = 40
_ID_CHARACTERS = 300
_DETAIL_CHARACTERS = 16 << 10
_MESSAGE_CHARACTERS = 2 << 10
_WORD_CHARACTERS = 200
_MAXIMUM_SECONDS = 10 * 24 * 3600.0

_STATUSES = frozenset({"passed", "failed", "error", "skipped", "expected_failure", "unexpected_success"})
# A class or module fixture is no declared test. It may only go wrong: nothing passes that was not declared.
_STATUSES_OF_FIXTURES = frozenset({"error", "skipped"})
_ERROR_KINDS = frozenset({"error", "syntax", "entry_point"})

LOADING, TESTING, COMPLETE = "loading", "testing", "complete"


def draw_nonce() -> str:
    """Returns a nonce that nobody can guess."""
    return os.urandom(16).hex()


class _BrokenMessageError(Exception):
    """Raised when a message breaks the protocol; its text is the tampering to record."""


class ReportReader:
    """Reads the messages of one sample's process.

    Nothing secret is in it before `tests_message`, so that a process forked in between inherits none.

    Args:
        takes_tests: Whether the kind has tests to ask for; `script` and `stdio` have not, and may only
            report an error.
        new_nonce: Draws the nonce.

    Attributes:
        stage: "loading", "testing" or "complete".
        error: The error that no test owns, if one was reported.
        reported_tests: The plan; None until it is complete.
        results: One for each test that was reported: `test_id`, `status`, `detail`, `message`, `seconds`.
        tampering: What broke the protocol, the first ten.
        integrity: What the harness saw changed in the test framework: its own word, not a breach of protocol.
    """

    def __init__(self, *, takes_tests: bool = True, new_nonce: Callable[[], str] = draw_nonce) -> None:
        self.stage = LOADING
        self.error: Optional[Dict[str, Any]] = None
        self.reported_tests: Optional[List[str]] = None
        self.results: List[Dict[str, Any]] = []
        self.tampering: List[str] = []
        self.integrity: List[str] = []
        self._takes_tests = takes_tests
        self._new_nonce = new_nonce
        self._nonce: Optional[str] = None
        self._seq = 0
        self._plan: List[str] = []
        self._declared: Set[str] = set()
        self._reported: Set[str] = set()
        self._accepted_bytes = 0
        self._ended = False

    def feed(self, message: bytes) -> bool:
        """Takes one datagram; returns whether the process now waits for its tests (`tests_message`)."""
        try:
            self._measure(message)
            asks = self._take(_decoded(message))
        except _BrokenMessageError as broken:
            self._tamper(str(broken))
            return False
        self._accepted_bytes += len(message)
        return asks

    def tests_message(self, tests: Dict[str, Any]) -> bytes:
        """Returns the answer to `loaded`: a 4-byte big-endian length, then JSON with tests and a fresh nonce.

        It may be sent in pieces, each a datagram of at most 65,536 bytes.

        Args:
            tests: As in the agent's protocol.
        """
        self._nonce = self._new_nonce()
        body = json.dumps({"nonce": self._nonce, "tests": tests}, separators=(",", ":")).encode("ascii")
        return len(body).to_bytes(4, "big") + body

    def facts(self) -> Dict[str, Any]:
        """Returns what was read, as fields of the agent's `facts` frame."""
        return {
            "stage": self.stage,
            "error": self.error,
            "reported_tests": self.reported_tests,
            "results": self.results,
            "tampering": self.tampering,
            "integrity": self.integrity,
        }

    def _tamper(self, words: str) -> None:
        if words not in self.tampering and len(self.tampering) < MAXIMUM_TAMPERING:
            self.tampering.append(words)

    def _measure(self, message: bytes) -> None:
        if len(message) > MAXIMUM_MESSAGE_BYTES:
            raise _BrokenMessageError("a message of more than %d bytes" % MAXIMUM_MESSAGE_BYTES)
        if self._accepted_bytes + len(message) > MAXIMUM_TOTAL_BYTES:
            raise _BrokenMessageError("more than %d bytes of reports" % MAXIMUM_TOTAL_BYTES)

    def _take(self, message: Dict[str, Any]) -> bool:
        if self._ended:
            raise _BrokenMessageError("a message after the last one")
        keys = frozenset(message)
        if self.stage == LOADING:
            if keys == {"error"}:
                self.error = _error(message["error"])
                self._ended = True
                return False
            if keys == {"loaded"} and message["loaded"] is True and self._takes_tests:
                self.stage = TESTING
                return True
            raise _BrokenMessageError("an unexpected message before the tests")
        if keys == {"loaded"}:
            raise _BrokenMessageError("a second request for the tests")
        self._take_of_tests(message, keys)
        return False

    def _take_of_tests(self, message: Dict[str, Any], keys: FrozenSet[str]) -> None:
        if self._nonce is None or message.get("nonce") != self._nonce:
            raise _BrokenMessageError("a message with a wrong nonce")
        if type(message.get("seq")) is not int or message["seq"] != self._seq:
            raise _BrokenMessageError("a message out of order")
        body = keys - {"nonce", "seq"}
        if body == {"result"}:
            self._take_result(message["result"])
        elif body == {"tests"} or (body == {"tests", "more"} and message["more"] is True):
            self._take_plan(message["tests"], last="more" not in body)
        elif body == {"integrity"}:
            words = [_text(word, _WORD_CHARACTERS, "integrity") for word in _list(message["integrity"], "integrity")]
            self.integrity.extend(words[: MAXIMUM_INTEGRITY - len(self.integrity)])
        elif body == {"error"}:
            self.error = _error(message["error"])
            self._ended = True
        elif body == {"done"} and message["done"] is True:
            if self.reported_tests is None:
                raise _BrokenMessageError("done without a plan")
            self.stage = COMPLETE
            self._ended = True
        else:
            raise _BrokenMessageError("a message of no known form")
        self._seq += 1

    def _take_plan(self, tests: Any, *, last: bool) -> None:
        if self.reported_tests is not None:
            raise _BrokenMessageError("a second plan")
        names = [_identifier(test) for test in _list(tests, "plan")]
        if len(self._plan) + len(names) > MAXIMUM_RESULTS:
            raise _BrokenMessageError("a plan of more than %d tests" % MAXIMUM_RESULTS)
        self._plan.extend(names)
        self._declared.update(names)
        if len(self._declared) != len(self._plan):
            self._tamper("a plan that names a test twice")
        if last:
            self.reported_tests = self._plan

    def _take_result(self, result: Any) -> None:
        if self.reported_tests is None:
            raise _BrokenMessageError("a result before the plan")
        if len(self.results) >= MAXIMUM_RESULTS:
            raise _BrokenMessageError("more than %d results" % MAXIMUM_RESULTS)
        needed = {"test_id", "status", "detail", "seconds"}
        if not isinstance(result, dict) or not needed <= result.keys() <= needed | {"message"}:
            raise _BrokenMessageError("a result of no known form")
        test_id = _identifier(result["test_id"])
        status = result["status"]
        if not isinstance(status, str) or status not in _STATUSES:
            raise _BrokenMessageError("a result with an unknown status")
        if test_id not in self._declared:
            if status not in _STATUSES_OF_FIXTURES:
                raise _BrokenMessageError("a result of a test that is not in the plan")
        elif test_id in self._reported:
            raise _BrokenMessageError("a second result of one test")
        accepted = {
            "test_id": test_id,
            "status": status,
            "detail": _text(result["detail"], _DETAIL_CHARACTERS, "detail"),
            "message": _text(result.get("message", ""), _MESSAGE_CHARACTERS, "message"),
            "seconds": _seconds(result["seconds"]),
        }
        self._reported.add(test_id)
        self.results.append(accepted)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError("%s is not JSON" % name)


_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode


def _decoded(message: bytes) -> Dict[str, Any]:
    try:
        value = _decode(message.decode("utf-8"))
    except (
        ValueError,
        RecursionError,
    ):  # not UTF-8, not JSON, an int of too many digits, NaN, nested too deep
        raise _BrokenMessageError("a message that is not JSON") from None
    if not isinstance(value, dict):
        raise _BrokenMessageError("a message that is not a JSON object")
    return value


def _list(value: Any, name: str) -> List[Any]:
    if not isinstance(value, list):
        raise _BrokenMessageError("%s is not a list" % name)
    return value


def _scrubbed(text: str) -> str:
    """Returns a text that UTF-8 can encode: a lone surrogate becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _text(value: Any, characters: int, name: str) -> str:
    if not isinstance(value, str):
        raise _BrokenMessageError("%s is not text" % name)
    return _scrubbed(value[:characters])


def _identifier(value: Any) -> str:
    if not isinstance(value, str) or not value or len(value) > _ID_CHARACTERS:
        raise _BrokenMessageError("a test's name is not a text of 1 to %d characters" % _ID_CHARACTERS)
    return _scrubbed(value)


def _seconds(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value <= _MAXIMUM_SECONDS:  # which no NaN is
        raise _BrokenMessageError("a duration that none can have")
    return float(value)


def _error(value: Any) -> Dict[str, Any]:
    needed = {"type_name", "message", "traceback", "missing_module", "kind"}
    if not isinstance(value, dict) or value.keys() != needed:
        raise _BrokenMessageError("an error of no known form")
    kind = value["kind"]
    if not isinstance(kind, str) or kind not in _ERROR_KINDS:
        raise _BrokenMessageError("an error of an unknown kind")
    return {
        "type_name": _text(value["type_name"], _ID_CHARACTERS, "type_name"),
        "message": _text(value["message"], _DETAIL_CHARACTERS, "message"),
        "traceback": _text(value["traceback"], _DETAIL_CHARACTERS, "traceback"),
        "missing_module": _text(value["missing_module"], _ID_CHARACTERS, "missing_module"),
        "kind": kind,
    }

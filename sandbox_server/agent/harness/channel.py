"""The harness's end of the channel to the cell's supervisor: messages up, the tests down.

`docs/agent-protocol.md` ("Inside a cell") names the messages. What they may say is checked by `report`, on
the other side.
"""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

from . import faults, pristine

__builtins__ = pristine.BUILTINS

MAXIMUM_MESSAGE_BYTES = 60_000
_HEADER_BYTES = 4
_READ_BYTES = 1 << 16
_PLAN_BYTES = 48_000
_SHORTEST_TEXT = 256
# All details together: the supervisor takes 4 MiB of reports, and what failed first is what people read.
_DETAILS_CHARACTERS = 1 << 20
_DETAIL_AFTER_THAT = 200


class ChannelClosedError(Exception):
    """Raised when the supervisor's end is gone, or is no longer at this descriptor."""


class Channel:
    """Messages to and from the supervisor, from the process that was started for the sample and no other."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._owner = pristine.get_pid()

    def send(self, message: Dict[str, Any]) -> None:
        """Sends a message, its texts cut until it fits.

        A child that the sample forked and that fell through to here ends instead: what it has to say of the
        tests would be said twice.
        """
        if pristine.get_pid() != self._owner:
            pristine.exit_now(1)
        data = pristine.to_json(message)
        while len(data) > MAXIMUM_MESSAGE_BYTES and _halve_texts(message):
            data = pristine.to_json(message)
        pristine.write(self._descriptor, data)

    def receive_tests(self) -> Dict[str, Any]:
        """Waits for the answer to `loaded`: a 4-byte big-endian length, then JSON, in some datagrams.

        Raises:
            ChannelClosedError: The supervisor's end is gone.
        """
        data = self._read()
        size = int.from_bytes(data[:_HEADER_BYTES], "big")
        while len(data) < _HEADER_BYTES + size:
            data += self._read()
        answer: Dict[str, Any] = pristine.from_json(data[_HEADER_BYTES:])
        return answer

    def _read(self) -> bytes:
        data = pristine.read(self._descriptor, _READ_BYTES)
        if not data:
            raise ChannelClosedError("the supervisor closed the channel")
        return data


class Report:
    """What is reported of tests, numbered and with the nonce: a plan, a result for each, how it ended.

    Args:
        channel: Where to report.
        nonce: What came with the tests.
    """

    def __init__(self, channel: Channel, nonce: str) -> None:
        self._channel = channel
        self._nonce = nonce
        self._seq = 0
        self._room = _DETAILS_CHARACTERS

    def plan(self, test_ids: Sequence[str]) -> None:
        """Says which tests will run, before the first of them does."""
        part: List[str] = []
        used = 0
        for test_id in test_ids:
            cost = len(pristine.to_json(test_id)) + 1
            if part and used + cost > _PLAN_BYTES:
                self._send({"tests": part, "more": True})
                part, used = [], 0
            part.append(test_id)
            used += cost
        self._send({"tests": part})

    def result(self, test_id: str, status: str, detail: str, message: str, seconds: float) -> None:
        """Says how one test ended."""
        if len(detail) > self._room:
            detail = detail[:_DETAIL_AFTER_THAT]
        self._room = max(0, self._room - len(detail))
        result: Dict[str, Any] = {"test_id": test_id, "status": status, "detail": detail, "seconds": seconds}
        if message:
            result["message"] = message
        self._send({"result": result})

    def integrity(self, words: Sequence[str]) -> None:
        """Says what of the test framework is not what it was; nothing when all of it is."""
        if words:
            self._send({"integrity": list(words)})

    def error(self, error: Dict[str, Any]) -> None:
        """Says what went wrong that no test owns; the last message."""
        self._send({"error": error})

    def done(self) -> None:
        """Says that all tests were run; the last message."""
        self._send({"done": True})

    def _send(self, body: Dict[str, Any]) -> None:
        self._channel.send({"nonce": self._nonce, "seq": self._seq, **body})
        self._seq += 1


def _halve_texts(message: Dict[str, Any]) -> bool:
    """Halves the longest text of a message's body, in place; returns whether there was one worth it."""
    longest, place, key = _SHORTEST_TEXT, None, ""
    for body in message.values():
        if isinstance(body, dict):
            for name, text in body.items():
                if isinstance(text, str) and len(text) > longest:
                    longest, place, key = len(text), body, name
    if place is None:
        return False
    place[key] = faults.cut(place[key], longest // 2)
    return True

"""Keeps the head and the tail of an output stream, and counts the rest."""

from __future__ import annotations

from collections import deque
from typing import Any, Deque, Dict

from . import protocol


class Capture:
    """What is kept of one stream: at most `kept_bytes`, half from its head and half from its tail.

    A stream that is only counted would turn a long output into a false result; one that is kept whole would let a
    sample fill the worker's memory.
    """

    __slots__ = ("_head", "_head_bytes", "_tail", "_tail_bytes", "_tail_held", "total_bytes")

    def __init__(self, kept_bytes: int) -> None:
        self._head_bytes = kept_bytes - kept_bytes // 2
        self._tail_bytes = kept_bytes // 2
        self._head = bytearray()
        self._tail: Deque[bytes] = deque()
        self._tail_held = 0
        self.total_bytes = 0

    def feed(self, data: bytes) -> None:
        """Takes the next bytes of the stream."""
        self.total_bytes += len(data)
        room = self._head_bytes - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if not data or not self._tail_bytes:
            return
        self._tail.append(data)
        self._tail_held += len(data)
        while self._tail_held - len(self._tail[0]) >= self._tail_bytes:
            self._tail_held -= len(self._tail.popleft())

    @property
    def head(self) -> bytes:
        """The stream's first bytes."""
        return bytes(self._head)

    @property
    def tail(self) -> bytes:
        """The stream's last bytes, of those that the head does not hold."""
        joined = b"".join(self._tail)
        return joined[-self._tail_bytes :] if self._tail_bytes else b""

    def frame(self) -> Dict[str, Any]:
        """Returns it as the agent's protocol has it."""
        return {
            "head_b64": protocol.b64(self.head),
            "tail_b64": protocol.b64(self.tail),
            "total_bytes": self.total_bytes,
        }

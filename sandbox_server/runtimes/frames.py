"""Frames: a 4-byte big-endian length and that many bytes of JSON. Pure; `agent_link` reads and writes.

Everything that is decoded here came from an agent, so it is hostile: sizes are bounded before memory is
taken, and nothing but a JSON object passes. What the fields mean is checked in `facts`.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import orjson

MAXIMUM_DOWN_BYTES = 64 << 20
MAXIMUM_UP_BYTES = 16 << 20
_HEADER = struct.Struct(">I")


class FrameError(Exception):
    """Raised when bytes from an agent are not frames, or a frame does not say what it must."""


def encode(message: dict[str, Any]) -> bytes:
    """Returns a message as a frame.

    Raises:
        ValueError: It is larger than a frame towards an agent may be.
    """
    body = orjson.dumps(message)
    if len(body) > MAXIMUM_DOWN_BYTES:
        raise ValueError(f"a message of {len(body)} bytes does not fit a frame of {MAXIMUM_DOWN_BYTES}")
    return _HEADER.pack(len(body)) + body


class FrameDecoder:
    """Cuts a byte stream into messages.

    Args:
        maximum_bytes: The largest frame to accept.
    """

    def __init__(self, maximum_bytes: int = MAXIMUM_UP_BYTES) -> None:
        self._maximum_bytes = maximum_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Takes the next bytes and returns the messages that they complete.

        Raises:
            FrameError: A frame is too large or is not a JSON object. The stream is of no use after that.
        """
        buffer = self._buffer
        buffer += data
        messages: list[dict[str, Any]] = []
        position = 0
        while len(buffer) - position >= _HEADER.size:
            (size,) = _HEADER.unpack_from(buffer, position)
            if size > self._maximum_bytes:
                raise FrameError(f"a frame of {size} bytes; the largest allowed has {self._maximum_bytes}")
            start = position + _HEADER.size
            if len(buffer) < start + size:
                break
            position = start + size
            messages.append(_decode(bytes(buffer[start:position])))
        if position:
            del buffer[:position]
        return messages


def _decode(body: bytes) -> dict[str, Any]:
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError:
        message = _decode_leniently(body)
    if not isinstance(message, dict):
        raise FrameError("a frame that is not a JSON object")
    return message


def _decode_leniently(body: bytes) -> Any:
    # An exception's message may hold a lone surrogate, which the agent's json writes as "\ud800" and orjson
    # refuses: any sample could raise one, so it must not cost the worker. `facts` replaces it.
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise FrameError(f"a frame that is not JSON: {error}") from None

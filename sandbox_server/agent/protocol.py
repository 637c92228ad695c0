"""Frames between processes that trust each other's code but not each other's data: length, then JSON.

Belongs here: framing over a non-blocking descriptor. What frames mean is in `main` and `supervisor`.
"""

from __future__ import annotations

import base64
import json
import os
import struct
from typing import Any, Dict, List, Optional

MAXIMUM_DOWN_BYTES = 64 << 20
MAXIMUM_UP_BYTES = 16 << 20
_HEADER = struct.Struct(">I")
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True).encode
_CHUNK_BYTES = 1 << 18


class ProtocolError(Exception):
    """Raised when the other side breaks the framing."""


def pack(message: Dict[str, Any]) -> bytes:
    """Returns a message as a frame."""
    body = _encode(message).encode("ascii")
    return _HEADER.pack(len(body)) + body


def b64(data: bytes) -> str:
    """Returns bytes as base64 text."""
    return base64.b64encode(data).decode("ascii")


def unb64(text: str) -> bytes:
    """Returns the bytes of base64 text."""
    return base64.b64decode(text, validate=True)


class Stream:
    """Frames over one or two non-blocking descriptors, with what could not be written yet.

    Args:
        read_fd: The descriptor to read from.
        write_fd: The descriptor to write to; may be the same.
        maximum_bytes: The largest frame to accept.
    """

    __slots__ = ("_in", "_maximum_bytes", "_out", "closed", "drained", "read_fd", "write_fd")

    def __init__(self, read_fd: int, write_fd: int, maximum_bytes: int) -> None:
        self.read_fd = read_fd
        self.write_fd = write_fd
        self.closed = False
        self.drained = False
        self._maximum_bytes = maximum_bytes
        self._in = bytearray()
        self._out = bytearray()
        os.set_blocking(read_fd, False)
        os.set_blocking(write_fd, False)

    def receive(self) -> List[Dict[str, Any]]:
        """Reads once and returns the complete messages.

        Sets `closed` at the end of the stream, and `drained` when there was nothing to read now.

        Raises:
            ProtocolError: A frame is too large or is not a JSON object.
        """
        try:
            data = os.read(self.read_fd, _CHUNK_BYTES)
        except (BlockingIOError, InterruptedError):
            self.drained = True
            return []
        except ConnectionResetError:
            data = b""
        if not data:
            self.closed = True
            return []
        buffer = self._in
        buffer += data
        messages = []
        position = 0
        while len(buffer) - position >= _HEADER.size:
            (size,) = _HEADER.unpack_from(buffer, position)
            if size > self._maximum_bytes:
                raise ProtocolError("frame of %d bytes" % size)
            end = position + _HEADER.size + size
            if len(buffer) < end:
                break
            messages.append(_decode(bytes(buffer[position + _HEADER.size : end])))
            position = end
        if position:
            del buffer[:position]
        return messages

    def receive_one(self) -> Optional[Dict[str, Any]]:
        """Waits for one message, reading not a byte beyond it; None at the end of the stream."""
        header = self._read_exactly(_HEADER.size)
        if header is None:
            return None
        (size,) = _HEADER.unpack(header)
        if size > self._maximum_bytes:
            raise ProtocolError("frame of %d bytes" % size)
        body = self._read_exactly(size)
        return None if body is None else _decode(body)

    def _read_exactly(self, size: int) -> Optional[bytes]:
        os.set_blocking(self.read_fd, True)
        data = b""
        while len(data) < size:
            part = os.read(self.read_fd, size - len(data))
            if not part:
                self.closed = True
                return None
            data += part
        os.set_blocking(self.read_fd, False)
        return data

    def send(self, message: Dict[str, Any]) -> None:
        """Writes a message as far as the descriptor takes it now; the rest waits for `flush`."""
        self._out += pack(message)
        self.flush()

    def flush(self) -> None:
        """Writes what waits, as far as the descriptor takes it now."""
        out = self._out
        while out:
            try:
                written = os.write(self.write_fd, out[:_CHUNK_BYTES])
            except (BlockingIOError, InterruptedError):
                return
            except (BrokenPipeError, ConnectionResetError):
                self.closed = True
                out.clear()
                return
            del out[:written]

    @property
    def wants_to_write(self) -> bool:
        """Whether something waits to be written."""
        return bool(self._out)


def _decode(body: bytes) -> Dict[str, Any]:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("frame is not JSON: %s" % error) from None
    if not isinstance(message, dict):
        raise ProtocolError("frame is not a JSON object")
    return message

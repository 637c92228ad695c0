"""The byte streams of a container over Docker's attach connection.

Docker sends standard output and error over one connection, in pieces with a header of eight bytes: which stream, three
zeros, the length. What stands in the pieces comes from an agent and is untrusted; the headers are the engine's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import ssl
import struct
import threading
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_Result = TypeVar("_Result")
_HEADER = struct.Struct(">BxxxI")
_STDERR = 2
_COPY_BYTES = 1 << 16


class _Demultiplexer(asyncio.StreamReaderProtocol):
    """Sorts what comes into two streams."""

    def __init__(self, stdout: asyncio.StreamReader, stderr: asyncio.StreamReader) -> None:
        super().__init__(stdout)
        self._streams = (stdout, stderr)
        self._header = b""
        self._current = stdout
        self._left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Makes a full stream stop the connection."""
        super().connection_made(transport)
        self._streams[1].set_transport(transport)

    def data_received(self, data: bytes) -> None:
        """Takes bytes as they come: pieces and headers may be cut anywhere."""
        stdout, stderr = self._streams
        while data:
            if not self._left:
                missing = _HEADER.size - len(self._header)
                self._header += data[:missing]
                data = data[missing:]
                if len(self._header) < _HEADER.size:
                    return
                kind, self._left = _HEADER.unpack(self._header)
                self._header = b""
                self._current = stderr if kind == _STDERR else stdout
                continue
            piece, data = data[: self._left], data[self._left :]
            self._left -= len(piece)
            self._current.feed_data(piece)

    def eof_received(self) -> bool | None:
        """Ends both streams."""
        self._streams[1].feed_eof()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends both streams."""
        self._streams[1].feed_eof()
        super().connection_lost(exc)


async def open_streams(
    connection: socket.socket, limit: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, asyncio.StreamReader]:
    """Returns a container's standard output, input and error.

    Args:
        connection: What `bridged` returned.
        limit: How many bytes of an output are held before the connection is paused.
    """
    loop = asyncio.get_running_loop()
    connection.setblocking(False)
    stdout, stderr = asyncio.StreamReader(limit, loop), asyncio.StreamReader(limit, loop)
    transport, protocol = await loop.create_connection(lambda: _Demultiplexer(stdout, stderr), sock=connection)
    return stdout, asyncio.StreamWriter(transport, protocol, stdout, loop), stderr


def bridged(attached: Any) -> socket.socket:
    """Returns a plain socket to what the SDK's `attach_socket` returned, whatever carries it.

    A connection to a local engine, or one over plain TCP, is a socket already. What asyncio cannot adopt is copied to
    and from a pair of sockets: TLS, which lives above its descriptor, by one thread, since OpenSSL does not bear a
    reader and a writer at once; a pipe through ssh by two.
    """
    carrier = getattr(attached, "_sock", attached)
    if isinstance(carrier, socket.socket) and not isinstance(carrier, ssl.SSLSocket):
        # A descriptor of our own: the SDK's objects close theirs when they are collected.
        plain = socket.socket(fileno=os.dup(carrier.fileno()))
        plain.settimeout(None)
        attached.close()
        carrier.close()
        return plain
    ours, theirs = socket.socketpair()
    if isinstance(carrier, ssl.SSLSocket):
        # The SDK hangs its answer on the connection, whose reader keeps it open for as long as it is there itself.
        response = getattr(carrier, "_response", None)
        _in_thread(lambda: _pump(carrier, theirs), carrier, theirs, *([response] if response is not None else ()))
        return ours
    carrier.settimeout(None)
    _in_thread(lambda: _copy(carrier.recv, theirs.sendall), carrier, theirs)
    _in_thread(lambda: _copy(theirs.recv, carrier.sendall), carrier, theirs)
    return ours


def _in_thread(copy: Callable[[], None], *ends: Any) -> None:
    threading.Thread(target=_and_close, args=(copy, *ends), daemon=True, name="attach").start()


def _pump(carrier: ssl.SSLSocket, theirs: socket.socket) -> None:
    """Copies both ways until one end is closed."""
    carrier.setblocking(False)
    theirs.setblocking(False)
    ways = (_Way(carrier, theirs), _Way(theirs, carrier))
    while not any(way.ended for way in ways):
        waits: dict[socket.socket, int] = {}
        # Each has its turn: what an agent says without end must not hold up what is said to it.
        moved = [way.move(waits) for way in ways]
        if not any(moved):
            poll = select.poll()
            for end, events in waits.items():
                poll.register(end, events)
            poll.poll()


class _Way:
    """One direction between two sockets that do not block. It holds one piece: a full target stops the source."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self._source = source
        self._target = target
        self._held = b""
        self.ended = False

    def move(self, waits: dict[socket.socket, int]) -> bool:
        """Takes a piece, or hands one on; returns whether it could, and notes what it waits for if not."""
        if self._held:
            sent = _attempted(lambda: self._target.send(self._held), self._target, select.POLLOUT, waits)
            self._held = self._held[sent or 0 :]
            return sent is not None
        piece = _attempted(lambda: self._source.recv(_COPY_BYTES), self._source, select.POLLIN, waits)
        self._held = piece or b""
        self.ended = piece == b""
        return piece is not None


def _attempted(
    action: Callable[[], _Result], end: socket.socket, usual: int, waits: dict[socket.socket, int]
) -> _Result | None:
    """Does what may have to wait; returns None, and notes for which event of which end, if it has to."""
    try:
        return action()
    except ssl.SSLWantReadError:
        event = select.POLLIN
    except ssl.SSLWantWriteError:
        event = select.POLLOUT
    except BlockingIOError:
        event = usual
    waits[end] = waits.get(end, 0) | event
    return None


def _copy(receive: Callable[[int], bytes], send: Callable[[bytes], Any]) -> None:
    while data := receive(_COPY_BYTES):
        send(data)


def _and_close(copy: Callable[[], None], *ends: Any) -> None:
    with contextlib.suppress(OSError):  # either end may go first; both are closed then
        copy()
    for end in ends:
        with contextlib.suppress(OSError, AttributeError):  # not all that can be closed can be shut down
            end.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            end.close()

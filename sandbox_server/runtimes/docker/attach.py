"""The byte streams of a container over Docker's attach connection.

Docker sends standard output and error over one connection, in pieces with a header of eight bytes: which stream, three
zeros, the length. What stands in the pieces comes from an agent and is untrusted; the headers are the engine's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import struct
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

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

    A connection to a local engine, or one over plain TCP, is a socket already. What asyncio cannot adopt (TLS, which
    lives above its descriptor, or a pipe through ssh) is copied by two threads to and from a pair of sockets.
    """
    carrier = getattr(attached, "_sock", attached)
    if isinstance(carrier, socket.socket) and not isinstance(carrier, ssl.SSLSocket):
        # A descriptor of our own: the SDK's objects close theirs when they are collected.
        plain = socket.socket(fileno=os.dup(carrier.fileno()))
        plain.settimeout(None)
        attached.close()
        carrier.close()
        return plain
    carrier.settimeout(None)
    ours, theirs = socket.socketpair()
    for copy in (lambda: _copy(carrier.recv, theirs.sendall), lambda: _copy(theirs.recv, carrier.sendall)):
        threading.Thread(target=_and_close, args=(copy, carrier, theirs), daemon=True, name="attach").start()
    return ours


def _copy(receive: Callable[[int], bytes], send: Callable[[bytes], Any]) -> None:
    while data := receive(_COPY_BYTES):
        send(data)


def _and_close(copy: Callable[[], None], *ends: Any) -> None:
    with contextlib.suppress(OSError):  # either end may go first; both are closed then
        copy()
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            end.close()

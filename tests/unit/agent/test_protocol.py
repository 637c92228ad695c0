from __future__ import annotations

import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_server.agent import protocol

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def _pair(maximum_bytes: int = 1 << 20) -> tuple[protocol.Stream, socket.socket]:
    ours, theirs = socket.socketpair()
    descriptor = ours.detach()
    return protocol.Stream(descriptor, descriptor, maximum_bytes), theirs


@given(st.lists(st.dictionaries(st.text(), _JSON), max_size=5), st.integers(1, 50))
def test_messages_survive_any_cutting(messages: list[dict[str, object]], size: int) -> None:
    stream, theirs = _pair()
    data = b"".join(protocol.pack(message) for message in messages)
    received = []
    for start in range(0, len(data), size):
        theirs.sendall(data[start : start + size])
        received += stream.receive()
    theirs.close()
    assert received == messages
    assert stream.receive() == []
    assert stream.closed
    os.close(stream.read_fd)


@pytest.mark.parametrize("body", [b"[1]", b"\xff", b"{", b"[" * 100_000])
def test_what_is_not_an_object_is_an_error(body: bytes) -> None:
    stream, theirs = _pair()
    theirs.sendall(len(body).to_bytes(4, "big") + body)
    messages = iter(stream.receive, [])
    with pytest.raises(protocol.ProtocolError):
        list(messages)
    theirs.close()
    os.close(stream.read_fd)


def test_a_frame_above_the_maximum_is_refused_before_it_is_read() -> None:
    stream, theirs = _pair(100)
    theirs.sendall((101).to_bytes(4, "big"))
    with pytest.raises(protocol.ProtocolError, match="101 bytes"):
        stream.receive()
    theirs.close()
    os.close(stream.read_fd)


def test_what_a_full_socket_does_not_take_waits_for_flush() -> None:
    stream, theirs = _pair(64 << 20)
    message = {"text": "x" * (4 << 20)}
    stream.send(message)
    data = b""
    flushes = 0
    while len(data) < len(protocol.pack(message)):
        data += theirs.recv(1 << 20)
        flushes += stream.wants_to_write
        stream.flush()
    assert flushes > 0
    assert data == protocol.pack(message)
    theirs.close()
    os.close(stream.read_fd)


def test_a_reader_that_is_gone_closes_the_stream() -> None:
    stream, theirs = _pair()
    theirs.close()
    stream.send({"text": "x"})
    assert stream.closed
    assert not stream.wants_to_write
    os.close(stream.read_fd)

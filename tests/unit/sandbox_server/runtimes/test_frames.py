import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_server.runtimes.frames import FrameDecoder, FrameError, encode

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
MESSAGES = st.dictionaries(st.text(), VALUES, max_size=4)


@given(st.lists(MESSAGES, max_size=5), st.lists(st.integers(1, 40), max_size=30))
def test_what_is_encoded_comes_out_however_it_is_cut(messages: Any, cuts: Any) -> None:
    data = b"".join(encode(message) for message in messages)
    decoder, out = FrameDecoder(), []
    for cut in cuts:
        out += decoder.feed(data[:cut])
        data = data[cut:]
    out += decoder.feed(data)
    assert out == messages


@given(st.binary())
def test_any_bytes_are_messages_or_an_error(data: bytes) -> None:
    try:
        messages = FrameDecoder(1000).feed(data)
    except FrameError:
        return
    assert all(isinstance(message, dict) for message in messages)


def frame(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


def test_a_frame_that_is_too_large_is_refused_before_it_is_read() -> None:
    with pytest.raises(FrameError, match="1001 bytes"):
        FrameDecoder(1000).feed(struct.pack(">I", 1001))


@pytest.mark.parametrize("body", [b"", b"[]", b"1", b"{", b"\xff", b"[" * 100_000, b'{"a": 1e999'])
def test_what_is_not_a_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(FrameError):
        FrameDecoder().feed(frame(body))


def test_lone_surrogates_are_let_through_to_be_replaced_later() -> None:
    body = json.dumps({"message": "\ud800"}).encode()
    assert FrameDecoder().feed(frame(body)) == [{"message": "\ud800"}]


def test_a_message_too_large_for_an_agent_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox_server.runtimes.frames.MAXIMUM_DOWN_BYTES", 10)
    with pytest.raises(ValueError, match="does not fit"):
        encode({"source": "x" * 20})

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sandbox_server.agent.capture import Capture


@given(st.lists(st.binary(max_size=40)), st.integers(0, 64))
def test_head_and_tail_are_of_the_stream_and_within_what_is_kept(pieces: list[bytes], kept_bytes: int) -> None:
    capture = Capture(kept_bytes)
    for piece in pieces:
        capture.feed(piece)
    whole = b"".join(pieces)
    assert capture.total_bytes == len(whole)
    assert len(capture.head) + len(capture.tail) <= kept_bytes
    assert whole.startswith(capture.head)
    assert whole.endswith(capture.tail)
    if len(whole) <= kept_bytes:
        assert capture.head + capture.tail == whole
    else:
        assert len(capture.head) + len(capture.tail) == kept_bytes


def test_memory_stays_bounded_whatever_the_size_of_the_pieces() -> None:
    capture = Capture(100)
    for _ in range(1000):
        capture.feed(b"x" * 10_000)
    capture.feed(b"y")
    assert capture.total_bytes == 10_000_001
    assert capture.tail == b"x" * 49 + b"y"
    assert sum(map(len, capture._tail)) <= 20_000

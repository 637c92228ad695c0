"""Docker's attach stream, cut anywhere, over every kind of connection."""

from __future__ import annotations

import asyncio
import itertools
import select
import shutil
import socket
import ssl
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_server.runtimes.docker.attach import _Demultiplexer, bridged, open_streams

if TYPE_CHECKING:
    from pathlib import Path

STDOUT, STDERR = 1, 2
PIECES = st.lists(st.tuples(st.sampled_from((STDOUT, STDERR)), st.binary(max_size=300)), max_size=20)


def framed(pieces: list[tuple[int, bytes]]) -> bytes:
    return b"".join(struct.pack(">BxxxI", kind, len(data)) + data for kind, data in pieces)


def of(kind: int, pieces: list[tuple[int, bytes]]) -> bytes:
    return b"".join(data for one, data in pieces if one == kind)


def demultiplexed(cuts: list[bytes], *, ended: bool = True) -> tuple[bytes, bytes]:
    """Feeds bytes as they come; returns what is in the two streams."""

    async def run() -> tuple[bytes, bytes]:
        stdout, stderr = asyncio.StreamReader(1 << 20), asyncio.StreamReader(1 << 20)
        protocol = _Demultiplexer(stdout, stderr)
        for cut in cuts:
            protocol.data_received(cut)
        if ended:
            protocol.eof_received()
        else:
            protocol.connection_lost(ConnectionResetError())
            return stdout._buffer, stderr._buffer  # type: ignore[attr-defined] # what came before the break
        return await stdout.read(), await stderr.read()

    return asyncio.run(run())


@given(PIECES, st.data())
def test_pieces_may_be_cut_anywhere(pieces: list[tuple[int, bytes]], data: st.DataObject) -> None:
    whole = framed(pieces)
    places = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=30)))
    cuts = [whole[start:end] for start, end in zip([0, *places], [*places, len(whole)], strict=True)]
    assert demultiplexed(cuts) == (of(STDOUT, pieces), of(STDERR, pieces))


@given(PIECES)
def test_one_byte_at_a_time(pieces: list[tuple[int, bytes]]) -> None:
    whole = framed(pieces)
    cuts = [whole[place : place + 1] for place in range(len(whole))]
    assert demultiplexed(cuts) == (of(STDOUT, pieces), of(STDERR, pieces))


@given(PIECES, st.binary(max_size=50), st.integers(51, 2**32 - 1))
def test_a_length_that_never_comes_gives_what_came(pieces: list[tuple[int, bytes]], rest: bytes, length: int) -> None:
    # 4 GiB are promised at most: nothing is set aside for them.
    whole = framed(pieces) + struct.pack(">BxxxI", STDOUT, length) + rest
    assert demultiplexed([whole]) == (of(STDOUT, pieces) + rest, of(STDERR, pieces))


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=10))
def test_bytes_that_mean_nothing_do_no_harm(noise: bytes, places: list[int]) -> None:
    bounds = [0, *sorted(min(place, len(noise)) for place in places), len(noise)]
    stdout, stderr = demultiplexed([noise[start:end] for start, end in itertools.pairwise(bounds)])
    assert len(stdout) + len(stderr) <= len(noise)


def test_pieces_of_no_length_are_nothing() -> None:
    assert demultiplexed([framed([(STDOUT, b"")] * 1000 + [(STDERR, b"x")])]) == (b"", b"x")


def test_a_connection_that_breaks_keeps_what_came() -> None:
    assert demultiplexed([framed([(STDOUT, b"out"), (STDERR, b"err")])], ended=False) == (b"out", b"err")


async def test_a_broken_connection_is_told_to_both_readers() -> None:
    ours, theirs = socket.socketpair()
    stdout, stdin, stderr = await open_streams(ours, 1 << 16)
    theirs.sendall(framed([(STDERR, b"last words")])[:12])
    theirs.close()
    assert await stdout.read() == b""
    assert await stderr.read() == b"last"
    stdin.close()


async def test_a_reader_that_pauses_stops_the_sender() -> None:
    ours, theirs = socket.socketpair()
    stdout, stdin, stderr = await open_streams(ours, 1 << 12)
    theirs.setblocking(False)
    sent = 0
    loop = asyncio.get_running_loop()
    flood = framed([(STDOUT, bytes(1 << 12))] * 16)

    async def send_all() -> None:
        nonlocal sent
        while True:
            await loop.sock_sendall(theirs, flood)
            sent += len(flood)

    sending = asyncio.create_task(send_all())
    before = -1
    while sent != before:  # it stops getting on: nobody reads
        before = sent
        for _ in range(50):
            await asyncio.sleep(0)
    assert len(stdout._buffer) < 1 << 18  # type: ignore[attr-defined]
    assert await stdout.readexactly(1 << 12) == bytes(1 << 12)
    sending.cancel()
    theirs.close()
    stdin.close()
    assert await stderr.read() == b""


class Unadoptable:
    """What asyncio cannot adopt: like a TLS connection, it lives above its descriptor."""

    def __init__(self, inner: socket.socket) -> None:
        self.inner = inner
        self.settimeout = inner.settimeout
        self.recv = inner.recv
        self.sendall = inner.sendall
        self.shutdown = inner.shutdown
        self.close = inner.close


class Attached:
    """What the SDK returns: a reader that holds the socket."""

    def __init__(self, carrier: Any) -> None:
        self._sock = carrier

    def close(self) -> None:
        """As the SDK's: its socket stays open."""


@pytest.mark.parametrize("wrap", [lambda one: one, Unadoptable], ids=["socket", "bridge"])
async def test_streams_both_ways_over_any_carrier(wrap: Any) -> None:
    ours, theirs = socket.socketpair()
    stdout, stdin, stderr = await open_streams(bridged(Attached(wrap(ours))), 1 << 16)
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()
    stdin.write(b"hello")
    assert await loop.sock_recv(theirs, 100) == b"hello"
    big = bytes(range(256)) * 2000
    sending = asyncio.create_task(loop.sock_sendall(theirs, framed([(STDOUT, big), (STDERR, b"oops")])))
    assert await stdout.readexactly(len(big)) == big
    assert await stderr.readexactly(4) == b"oops"
    await sending
    stdin.close()
    assert await loop.sock_recv(theirs, 1) == b""  # so the engine learns that nobody listens
    theirs.close()


@pytest.mark.parametrize("wrap", [lambda one: one, Unadoptable], ids=["socket", "bridge"])
async def test_the_end_of_a_container_comes_through(wrap: Any) -> None:
    ours, theirs = socket.socketpair()
    stdout, stdin, stderr = await open_streams(bridged(Attached(wrap(ours))), 1 << 16)
    theirs.close()
    assert await stdout.read() == b""
    assert await stderr.read() == b""
    stdin.close()


class Tls:
    """A TLS connection in one process: what the SDK would return, and the engine's end of it."""

    def __init__(self, folder: Path) -> None:
        words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        subprocess.run(
            ["openssl", *words, "-keyout", "key.pem", "-out", "cert.pem"], cwd=folder, check=True, capture_output=True
        )
        serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        serving.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        asking = ssl.create_default_context(cafile=str(folder / "cert.pem"))
        asking.check_hostname = False
        near, far = socket.socketpair()
        with ThreadPoolExecutor(1) as thread:
            accepting = thread.submit(serving.wrap_socket, far, server_side=True)
            self.ours = asking.wrap_socket(near)
            self.engine = accepting.result()


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    return Tls(tmp_path)


async def test_tls_both_ways_at_once(tls: Tls) -> None:
    stdout, stdin, stderr = await open_streams(bridged(Attached(tls.ours)), 1 << 16)
    big = bytes(range(256)) * 8000
    got = bytearray()

    def engine_reads() -> None:
        while len(got) < len(big) and (data := tls.engine.recv(1 << 16)):
            got.extend(data)

    # The engine's end must not be read and written at once either: it answers once it has all.
    stdin.write(big)
    await asyncio.to_thread(engine_reads)
    assert got == big
    sending = asyncio.create_task(asyncio.to_thread(tls.engine.sendall, framed([(STDOUT, big), (STDERR, b"oops")])))
    stdin.write(b"meanwhile")
    assert await stdout.readexactly(len(big)) == big
    assert await stderr.readexactly(4) == b"oops"
    await sending
    assert await asyncio.to_thread(tls.engine.recv, 100) == b"meanwhile"
    stdin.close()
    assert await asyncio.to_thread(tls.engine.recv, 100) == b""
    tls.engine.close()


async def test_tls_a_flood_does_not_hold_up_what_is_said(tls: Tls) -> None:
    stdout, stdin, _ = await open_streams(bridged(Attached(tls.ours)), 1 << 16)
    said = asyncio.create_task(asyncio.to_thread(tls.engine.recv, 100))
    stdin.write(b"stop")
    assert await said == b"stop"
    flood = asyncio.create_task(asyncio.to_thread(flooding, tls.engine))
    await stdout.readexactly(1 << 20)
    stdin.write(b"enough")
    await stdin.drain()
    while not flood.done():
        await stdout.read(1 << 16)
    assert await flood == b"enough"
    stdin.close()
    tls.engine.close()


def flooding(engine: ssl.SSLSocket) -> bytes:
    """Sends until something comes."""
    piece = framed([(STDOUT, bytes(1 << 14))])
    while not select.select([engine], [], [], 0)[0]:
        engine.sendall(piece)
    return engine.recv(100)


async def test_tls_the_end_of_a_container_comes_through(tls: Tls) -> None:
    stdout, stdin, stderr = await open_streams(bridged(Attached(tls.ours)), 1 << 16)
    await asyncio.to_thread(tls.engine.sendall, framed([(STDOUT, b"last words")]))
    tls.engine.close()
    assert await stdout.read() == b"last words"
    assert await stderr.read() == b""
    stdin.close()

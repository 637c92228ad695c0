"""The run's own server: started, watched, restarted, stopped; nothing of it stays but its log."""

from __future__ import annotations

import os
import signal
import stat
import sys
from pathlib import Path

import pytest

from orchestrator.dispatch.dispatcher import Dispatcher
from orchestrator.dispatch.embedded import EmbeddedServer
from orchestrator.dispatch.endpoints import survey
from orchestrator.errors import NoSandboxError
from orchestrator.model import FunctionCheckTask, Result, Sample

PROGRAM = Path(__file__).with_name("embedded_program.py")


def embedded(mode: str, tmp_path: Path, start_timeout_s: float = 60.0) -> EmbeddedServer:
    return EmbeddedServer([mode], tmp_path / "log", start_timeout_s, (sys.executable, str(PROGRAM)))


def samples(count: int) -> list[Sample]:
    return [Sample(f"T#{number}", "T", number, FunctionCheckTask("", "f"), "") for number in range(count)]


def process_id(server: EmbeddedServer) -> int:
    assert server._process is not None
    return server._process.pid


async def test_it_serves_on_a_private_socket_and_leaves_only_its_log(tmp_path: Path) -> None:
    server = embedded("serve", tmp_path)
    (endpoint,) = await server.open()
    socket = Path(endpoint.target.removeprefix("unix:"))
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    assert list(await survey([endpoint], "local")) == [endpoint.address]
    child = process_id(server)
    assert os.getsid(child) == child, "Ctrl-C of the terminal must not reach it"
    await server.close()
    assert not socket.parent.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    assert (tmp_path / "log").read_text() == "mode serve\n"


async def test_a_killed_server_is_started_again_and_each_sample_counts_once(tmp_path: Path) -> None:
    server = embedded("serve", tmp_path)
    results: list[Result] = []

    def deliver(result: Result) -> None:
        results.append(result)
        if len(results) == 100:
            os.kill(process_id(server), signal.SIGKILL)

    try:
        endpoints = await server.open()
        assert await Dispatcher(server, iter(samples(500)), deliver).run(endpoints) == []
    finally:
        await server.close()
    assert sorted(result.index for result in results) == list(range(500))
    assert {result.verdict for result in results} == {"PASSED"}
    assert (tmp_path / "log").read_text() == "mode serve\n" * 2


async def test_a_server_that_does_not_start_is_told_with_its_last_words(tmp_path: Path) -> None:
    server = embedded("fail", tmp_path)
    with pytest.raises(NoSandboxError) as caught:
        await server.open()
    await server.close()
    assert "ended with exit code 1 before it served" in str(caught.value)
    assert f"Its log: {tmp_path / 'log'}" in str(caught.value)
    assert "a wall is missing: \\x1b[31mseccomp" in str(caught.value)


async def test_a_server_that_never_serves_is_given_up_and_killed(tmp_path: Path) -> None:
    server = embedded("mute", tmp_path, start_timeout_s=0.5)
    with pytest.raises(NoSandboxError, match=r"did not serve within 0\.5 s"):
        await server.open()
    assert server._process is None
    await server.close()


async def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    server = EmbeddedServer([], tmp_path / "log", command=("/nonexistent/program",))
    with pytest.raises(NoSandboxError, match="does not start"):
        await server.open()
    await server.close()


async def test_a_server_that_keeps_dying_is_given_up(tmp_path: Path) -> None:
    server = embedded("die", tmp_path)
    results: list[Result] = []
    try:
        endpoints = await server.open()
        with pytest.raises(NoSandboxError, match="lost 5 times in a row without an answer"):
            await Dispatcher(server, iter(samples(500)), results.append).run(endpoints)
    finally:
        await server.close()
    assert all(result.is_sandbox_error for result in results)


async def test_a_socket_path_that_is_too_long_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    server = embedded("serve", tmp_path)
    with pytest.raises(NoSandboxError, match="TMPDIR"):
        await server.open()
    await server.close()
    assert list(long.iterdir()) == []

"""The run's own server: started, watched, restarted, stopped; nothing of it stays but its log."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys
from pathlib import Path

import pytest

from orchestrator.dispatch.child import Child
from orchestrator.dispatch.dispatcher import Dispatcher
from orchestrator.dispatch.embedded import EmbeddedServer
from orchestrator.dispatch.endpoints import survey
from orchestrator.errors import NoSandboxError
from orchestrator.model import FunctionCheckTask, Result, Sample

PROGRAM = Path(__file__).with_name("embedded_program.py")


def child_of(mode: str, tmp_path: Path) -> Child:
    return Child([mode], tmp_path / "log", (sys.executable, str(PROGRAM)))


def samples(count: int) -> list[Sample]:
    return [Sample(f"T#{number}", "T", number, FunctionCheckTask("", "f"), "") for number in range(count)]


def process_id(child: Child) -> int:
    assert child.process_id is not None
    return child.process_id


def is_gone(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    return False


async def test_it_serves_on_a_private_socket_and_leaves_only_its_log(tmp_path: Path) -> None:
    with child_of("serve", tmp_path) as child:
        server = EmbeddedServer(child)
        (endpoint,) = await server.open()
        assert stat.S_IMODE(child.socket.parent.stat().st_mode) == 0o700
        assert endpoint.target == f"unix:{child.socket}"
        assert list(await survey([endpoint], "local")) == [endpoint.address]
        number, folder = process_id(child), child.socket.parent
        assert os.getsid(number) == number, "Ctrl-C of the terminal must not reach it"
        await server.close()
    assert not folder.exists()
    assert is_gone(number)
    assert (tmp_path / "log").read_text() == "mode serve\n"


async def test_a_server_that_was_started_before_is_used(tmp_path: Path) -> None:
    with child_of("serve", tmp_path) as child:
        child.start()
        number = process_id(child)
        (endpoint,) = await EmbeddedServer(child).open()
        assert process_id(child) == number
        assert list(await survey([endpoint], "local")) == [endpoint.address]
    assert (tmp_path / "log").read_text() == "mode serve\n"


async def test_a_killed_server_is_started_again_and_each_sample_counts_once(tmp_path: Path) -> None:
    results: list[Result] = []

    def deliver(result: Result) -> None:
        results.append(result)
        if len(results) == 100:
            os.kill(process_id(child), signal.SIGKILL)

    with child_of("serve", tmp_path) as child:
        server = EmbeddedServer(child)
        endpoints = await server.open()
        assert await Dispatcher(server, iter(samples(500)), deliver).run(endpoints) == []
    assert sorted(result.index for result in results) == list(range(500))
    assert {result.verdict for result in results} == {"PASSED"}
    assert (tmp_path / "log").read_text() == "mode serve\n" * 2


async def test_a_server_that_does_not_start_is_told_with_its_last_words(tmp_path: Path) -> None:
    with child_of("fail", tmp_path) as child, pytest.raises(NoSandboxError) as caught:
        await EmbeddedServer(child).open()
    assert "ended with exit code 1 before it served" in str(caught.value)
    assert f"Its log: {tmp_path / 'log'}" in str(caught.value)
    assert "a wall is missing: \\x1b[31mseccomp" in str(caught.value)


async def test_a_server_that_never_serves_is_given_up_and_killed(tmp_path: Path) -> None:
    with child_of("mute", tmp_path) as child:
        with pytest.raises(NoSandboxError, match=r"did not serve within 0\.5 s"):
            await EmbeddedServer(child, start_timeout_s=0.5).open()
        assert child.process_id is None


async def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    with (
        Child([], tmp_path / "log", ("/nonexistent/program",)) as child,
        pytest.raises(NoSandboxError, match="does not start"),
    ):
        await EmbeddedServer(child).open()


async def test_a_server_that_keeps_dying_is_given_up(tmp_path: Path) -> None:
    results: list[Result] = []
    with child_of("die", tmp_path) as child:
        server = EmbeddedServer(child)
        endpoints = await server.open()
        with pytest.raises(NoSandboxError, match="lost 5 times in a row without an answer"):
            await Dispatcher(server, iter(samples(500)), results.append).run(endpoints)
    assert all(result.is_sandbox_error for result in results)


def test_a_socket_path_that_is_too_long_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with child_of("serve", tmp_path) as child, pytest.raises(NoSandboxError, match="TMPDIR"):
        child.start()
    assert list(long.iterdir()) == []


@pytest.mark.parametrize("mode", ["mute", "serve"])
def test_nothing_is_left_of_a_server_that_was_not_used_yet(tmp_path: Path, mode: str) -> None:
    """Ctrl-C, or an error, in the imports that follow the start."""
    with contextlib.suppress(KeyboardInterrupt), child_of(mode, tmp_path) as child:
        child.start()
        number, folder = process_id(child), child.socket.parent
        raise KeyboardInterrupt
    assert is_gone(number)
    assert not folder.exists()


def test_a_server_that_does_not_end_when_asked_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.dispatch.child.STOP_GRACE_S", 0.1)
    program = (
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "pathlib.Path(sys.argv[2].removeprefix('unix:')).touch()\n"
        "time.sleep(1000)\n"
    )
    with Child([], tmp_path / "log", (sys.executable, "-c", program)) as child:
        child.start()
        number = process_id(child)
        while not child.socket.exists():  # the test's own timeout bounds it
            assert child.exit_code is None
    assert is_gone(number)

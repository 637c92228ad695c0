"""What `auto` comes to, and why."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from sandbox_server.config import Settings
from sandbox_server.errors import EngineUnavailableError, ImageError, WorkerStartError
from sandbox_server.runtimes import choice
from sandbox_server.runtimes.choice import runtime_of
from sandbox_server.runtimes.docker.runtime import DockerRuntime
from sandbox_server.runtimes.local import LocalRuntime
from sandbox_server.runtimes.simulated import SimulatedRuntime

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Look = Callable[[DockerRuntime], Awaitable[None]]


@pytest.fixture(autouse=True)
def engine_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/absent")


def answers(monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
    async def look(_: DockerRuntime) -> None:
        if error is not None:
            raise error

    monkeypatch.setattr(DockerRuntime, "look", look)


async def chosen(**settings: Any) -> tuple[Any, list[tuple[str, str]]]:
    """Returns the runtime and what was logged of the choice."""
    with capture_logs() as lines:
        runtime = await runtime_of(Settings(**{"runtime": "auto", **settings}))
    return runtime, [(line["runtime"], line["reason"]) for line in lines if line["event"] == "runtime_chosen"]


async def test_docker_where_an_engine_has_fitting_images(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch)
    runtime, told = await chosen()
    assert isinstance(runtime, DockerRuntime)
    assert told == [("docker", "an engine answers that has fitting images")]
    await runtime.stop()


@pytest.mark.parametrize(
    "error",
    [EngineUnavailableError("nobody answers"), ImageError("no image"), WorkerStartError("client version too old")],
)
async def test_local_where_it_does_not_fit_with_the_reason(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    answers(monkeypatch, error)
    runtime, told = await chosen()
    assert isinstance(runtime, LocalRuntime)
    assert told == [("local", str(error))]


async def test_local_where_the_engine_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    async def look(_: DockerRuntime) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(DockerRuntime, "look", look)
    monkeypatch.setattr(choice, "_LOOK_S", 0.01)
    runtime, told = await chosen()
    assert isinstance(runtime, LocalRuntime)
    assert told == [("local", "the engine did not answer within 0.01 s")]


async def test_local_where_a_python_was_named(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch)
    runtime, told = await chosen(python=Path(sys.executable))
    assert isinstance(runtime, LocalRuntime)
    assert told == [("local", "a Python was named")]


async def test_local_where_nothing_speaks_of_an_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answers(monkeypatch)
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setattr(choice, "_SOCKET", str(tmp_path / "absent"))
    runtime, told = await chosen()
    assert isinstance(runtime, LocalRuntime)
    assert told == [("local", f"there is no {tmp_path}/absent and no DOCKER_HOST")]


@pytest.mark.parametrize(
    ("name", "kind"), [("docker", DockerRuntime), ("local", LocalRuntime), ("simulated", SimulatedRuntime)]
)
async def test_what_was_asked_for_is_given(monkeypatch: pytest.MonkeyPatch, name: str, kind: type[Any]) -> None:
    answers(monkeypatch, EngineUnavailableError("nobody answers"))
    runtime, told = await chosen(runtime=name)
    assert type(runtime) is kind
    assert told == []
    await runtime.stop()

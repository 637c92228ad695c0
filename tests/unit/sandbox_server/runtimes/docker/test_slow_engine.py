"""An engine that answers late, or never, holds up nobody but those who wait for it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox_server.errors import EngineUnavailableError, ImageError, WorkerStartError
from sandbox_server.model import Limits, Sample, ScriptTask
from sandbox_server.runtimes.docker.container import AgentContainer
from sandbox_server.runtimes.docker.engine import Engine, EngineFacts
from sandbox_server.runtimes.docker.hardening import Shape, worker_container
from sandbox_server.runtimes.local import LocalOptions, LocalRuntime

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

# The SDK leaves a socket open where nobody listens, or where nobody answers.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")

FAKE_AGENT = Path(__file__).parents[1] / "fake_agent.py"
FACTS = EngineFacts("20.10", 1 << 30, 2, frozenset({"runc"}), apparmor=False)
CONTAINER = worker_container("sha256:1", "/python", "me", Shape("cells", 1 << 28, 64), FACTS)


class SlowEngine:
    """Listens as an engine does and answers once it is let."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.asked: list[str] = []
        self.answers: dict[str, tuple[int, object]] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                method, path, _ = head.split(" ", 2)
                length = next((int(line[15:]) for line in head.split("\r\n") if line.startswith("Content-Length:")), 0)
                await reader.readexactly(length)
                path = path.partition("?")[0]
                self.asked.append(f"{method} {path}")
                if not path.endswith("/version"):
                    await self.may_answer.wait()
                await self._answer(writer, path)
        writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, path: str) -> None:
        usual = {"/version": (200, {"ApiVersion": "1.41"}), "/info": (200, {"ServerVersion": "slow", "MemTotal": 1})}
        answers = {**usual, **self.answers}
        status, said = next((answer for end, answer in answers.items() if path.endswith(end)), (200, []))
        body = json.dumps(said).encode()
        head = f"HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()


@pytest.fixture(autouse=True)
def sockets_of_the_sdk() -> Iterator[None]:
    yield
    gc.collect()  # here, where the warning means nothing


@pytest.fixture
async def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SlowEngine]:
    engine = SlowEngine()
    server = await asyncio.start_unix_server(engine.serve, tmp_path / "s")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/s")
    async with server:
        yield engine
        engine.may_answer.set()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 -- a test waits for what it can only look at
        await asyncio.sleep(0.001)


async def run_samples(count: int) -> int:
    """Runs samples of another environment in this loop; returns how many passed."""
    runtime = LocalRuntime(LocalOptions(python=Path(sys.executable), launcher=FAKE_AGENT))
    await runtime.start()
    facts = await asyncio.gather(*(runtime.run(Sample("s", ScriptTask("ok"), Limits())) for _ in range(count)))
    await runtime.stop()
    return sum(fact.exit_code == 0 for fact in facts)


async def test_samples_go_on_while_the_engine_is_silent(slow: SlowEngine) -> None:
    engine = Engine()
    asking = [
        asyncio.create_task(engine.facts()),
        asyncio.create_task(engine.images()),
        asyncio.create_task(engine.containers()),
        asyncio.create_task(engine.create(CONTAINER)),
        asyncio.create_task(engine.start("1")),
        asyncio.create_task(engine.remove("1")),
    ]
    await until(lambda: sum(not one.endswith("/version") for one in slow.asked) == len(asking))
    # If any of them held the loop, this would never end: only the loop can let the engine answer.
    assert await run_samples(100) == 100
    assert not any(one.done() for one in asking)
    slow.answers = {"/create": (201, {"Id": "new"}), "/start": (204, ""), "/containers/1": (404, {"message": "gone"})}
    slow.may_answer.set()
    facts = await asking[0]
    assert isinstance(facts, EngineFacts)
    assert facts.version == "slow"
    assert await asking[1] == await asking[2] == []
    assert await asking[3] == "new"
    await asyncio.gather(*asking[4:])
    await engine.close()


async def test_more_calls_than_threads_hold_up_nobody(slow: SlowEngine) -> None:
    engine = Engine()
    asking = [asyncio.create_task(engine.facts()) for _ in range(100)]
    await until(lambda: bool(slow.asked))
    assert await run_samples(20) == 20
    slow.may_answer.set()
    assert {facts.version for facts in await asyncio.gather(*asking)} == {"slow"}
    await engine.close()


async def test_a_container_that_nobody_waits_for_any_more_is_removed_once_it_is_there(slow: SlowEngine) -> None:
    engine = Engine()
    slow.answers = {"/create": (201, {"Id": "late"}), "/containers/late": (404, {"message": "gone"})}
    worker = AgentContainer(engine, CONTAINER, on_anomaly=lambda *_: None, on_lost=lambda *_: None)
    starting = asyncio.create_task(worker._launch())
    await until(lambda: any(one.endswith("/containers/create") for one in slow.asked))
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    stopping = asyncio.create_task(worker.stop())
    assert await run_samples(20) == 20
    assert not stopping.done()
    slow.may_answer.set()
    await stopping
    assert worker.ended
    assert slow.asked[-1].startswith("DELETE")
    assert slow.asked[-1].endswith("/containers/late")
    await engine.close()


@pytest.mark.parametrize(
    ("status", "message", "error", "told"),
    [
        (404, "No such image: x", ImageError, "the engine does not have it; `cupel-sandbox images build`"),
        (500, "mkdir /x: no space left on device", EngineUnavailableError, "the engine's disk is full"),
        (500, "copy: disk quota exceeded", EngineUnavailableError, "`docker system prune` frees some"),
        (400, "unknown runtime", WorkerStartError, "the engine says: unknown runtime"),
    ],
)
async def test_what_the_engine_refuses_is_told_with_what_to_do(
    slow: SlowEngine, status: int, message: str, error: type[Exception], told: str
) -> None:
    engine = Engine()
    slow.answers = {"/create": (status, {"message": message})}
    slow.may_answer.set()
    with pytest.raises(error, match="cannot create a container of sha256:1") as raised:
        await engine.create(CONTAINER)
    assert type(raised.value) is error
    assert told in str(raised.value)
    await engine.close()


async def test_an_engine_that_is_silent_for_too_long_is_unavailable(slow: SlowEngine) -> None:
    engine = Engine(timeout_s=1)
    with pytest.raises(EngineUnavailableError, match="cannot ask the engine: no Docker engine answers"):
        await engine.facts()
    slow.may_answer.set()
    assert (await engine.facts()).version == "slow", "what failed once is asked anew"
    await engine.close()

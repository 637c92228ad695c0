"""A pool whose engine does not answer: samples wait, then fail, then go on; and a worker's lifetime."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from sandbox_server.errors import EngineUnavailableError, WorkerLostError, WorkerStartError
from sandbox_server.model import Limits, Sample, ScriptTask
from sandbox_server.runtimes.pool import PoolPolicy, WorkerPool
from sandbox_server.runtimes.process import AgentProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_server.runtimes.worker import Worker


class Clock:
    """What the pool takes for the time; the loop's own goes on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("sandbox_server.runtimes.pool.time", SimpleNamespace(monotonic=lambda: self.now))


COMMAND = (sys.executable, "-sB", str(Path(__file__).with_name("fake_agent.py")))
FOR_EVER = 1e9


class Engine:
    """Starts fake agents, while it is up."""

    def __init__(self) -> None:
        self.up = True
        self.error: WorkerStartError = EngineUnavailableError("no engine answers")
        self.asked = 0
        self.started = 0

    def launch(self, *, on_anomaly: Callable[[Worker, str], None], on_lost: Callable[[Worker, str], None]) -> Worker:
        return _Process(self, on_anomaly=on_anomaly, on_lost=on_lost)


class _Process(AgentProcess):
    def __init__(
        self, engine: Engine, *, on_anomaly: Callable[[Worker, str], None], on_lost: Callable[[Worker, str], None]
    ) -> None:
        super().__init__(COMMAND, on_anomaly=on_anomaly, on_lost=on_lost)
        self._engine = engine

    async def _launch(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, asyncio.StreamReader]:
        self._engine.asked += 1
        if not self._engine.up:
            raise self._engine.error
        self._engine.started += 1
        return await super()._launch()


async def word(pool: WorkerPool, source: str) -> str:
    """Runs a sample; returns the worker's process id."""
    async with pool.worker() as worker:
        facts = await worker.link.run(Sample("s", ScriptTask(source), Limits()), "none")
        return facts.stdout.head.decode()


def pool_of(engine: Engine, **policy: float) -> WorkerPool:
    usual = {"restart_pause_s": 0.001, "outage_patience_s": FOR_EVER, **policy}
    return WorkerPool(engine.launch, PoolPolicy(**usual))  # type: ignore[arg-type]


async def lose_worker(pool: WorkerPool) -> None:
    with pytest.raises(WorkerLostError):
        await word(pool, "crash")


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 -- a test waits for what it can only look at
        await asyncio.sleep(0.001)


async def asked_again(engine: Engine, times: int) -> None:
    asked = engine.asked
    await until(lambda: engine.asked >= asked + times)


async def test_samples_wait_for_an_engine_and_go_on_when_it_is_back() -> None:
    engine = Engine()
    pool = pool_of(engine)
    await pool.start()
    engine.up = False
    await lose_worker(pool)
    waiting = [asyncio.create_task(word(pool, "ok")) for _ in range(5)]
    # More often than workers may fail: an engine that is away is no failing worker.
    await asked_again(engine, PoolPolicy().fast_failures + 2)
    assert not any(one.done() for one in waiting)
    assert pool.serving
    engine.up = True
    assert len(set(await asyncio.gather(*waiting))) == 1
    assert engine.started == 2
    await pool.stop()


async def test_after_its_patience_samples_fail_and_when_it_is_back_they_run(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    engine = Engine()
    pool = pool_of(engine, outage_patience_s=60)
    await pool.start()
    engine.up = False
    await lose_worker(pool)
    waiting = asyncio.create_task(word(pool, "ok"))
    await asked_again(engine, 2)
    clock.now += 59
    await asked_again(engine, 2)
    assert not waiting.done()
    clock.now += 2
    with pytest.raises(WorkerLostError, match="no engine answers"):
        await waiting
    assert not pool.serving
    with pytest.raises(WorkerLostError, match="no engine answers"):
        await word(pool, "ok")
    engine.up = True
    await until(lambda: pool.serving)
    assert await word(pool, "ok")
    await pool.stop()


async def test_a_second_outage_has_the_whole_patience_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    engine = Engine()
    pool = pool_of(engine, outage_patience_s=60)
    await pool.start()
    for _ in range(2):
        engine.up = False
        await lose_worker(pool)
        waiting = asyncio.create_task(word(pool, "ok"))
        await asked_again(engine, 2)
        clock.now += 50
        await asked_again(engine, 2)
        engine.up = True
        assert await waiting
        clock.now += 100  # so that no worker dies young
    await pool.stop()


async def test_an_engine_that_refuses_is_given_up_after_some_tries() -> None:
    engine = Engine()
    engine.error = WorkerStartError("the engine says: no such OCI runtime")
    pool = pool_of(engine, fast_failures=3)
    await pool.start()
    engine.up = False
    await lose_worker(pool)
    with pytest.raises(WorkerLostError, match="3 workers in a row died young or did not start"):
        await word(pool, "ok")
    assert engine.asked == 1 + 2
    assert not pool.serving
    await pool.stop()


async def test_a_pool_stops_in_the_middle_of_an_outage() -> None:
    engine = Engine()
    pool = pool_of(engine)
    await pool.start()
    engine.up = False
    await lose_worker(pool)
    waiting = asyncio.create_task(word(pool, "ok"))
    await asked_again(engine, 2)
    await pool.stop()
    with pytest.raises(WorkerLostError, match="the runtime is not running"):
        await waiting
    assert pool.workers == ()


async def test_an_outage_in_a_worker_s_old_age_costs_nobody_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    engine = Engine()
    pool = pool_of(engine, worker_lifetime_s=100, outage_patience_s=1)
    await pool.start()
    first = await word(pool, "ok")
    engine.up = False
    clock.now += 101
    assert await word(pool, "ok") == first, "it is replaced at its next sample, which it still takes"
    await asked_again(engine, 2)
    clock.now += 10
    assert await word(pool, "ok") == first, "there is no newer one, and nothing is wrong with it"
    assert pool.serving
    engine.up = True
    while await word(pool, "ok") == first:
        pass
    assert engine.started == 2
    await pool.stop()


async def test_a_worker_is_replaced_once_after_its_lifetime(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    engine = Engine()
    pool = pool_of(engine, worker_lifetime_s=100)
    await pool.start()
    first = await word(pool, "ok")
    clock.now += 99
    assert await word(pool, "ok") == first
    assert engine.started == 1
    clock.now += 1
    while await word(pool, "ok") == first:
        pass
    second = await word(pool, "ok")
    assert engine.started == 2
    assert await word(pool, "ok") == second
    await pool.stop()

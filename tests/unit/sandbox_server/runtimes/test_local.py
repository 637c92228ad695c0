import asyncio
import os
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox_server.errors import WallMissingError, WorkerLostError, WorkerStartError
from sandbox_server.model import Facts, Limits, Sample, ScriptTask, Wall
from sandbox_server.runtimes.local import LocalOptions, LocalRuntime
from sandbox_server.runtimes.pool import missing_walls

FAKE = Path(__file__).with_name("fake_agent.py")


def options(**changes: object) -> LocalOptions:
    usual: dict[str, object] = {
        "python": Path(sys.executable),
        "launcher": FAKE,
        "cells": 4,
        "restart_pause_s": 0.001,
        "profiles": {"scientific": ["numpy", "matplotlib.pyplot"]},
    }
    return LocalOptions(**{**usual, **changes})  # type: ignore[arg-type]  # a test's shorthand


def sample(source: str) -> Sample:
    return Sample("s", ScriptTask(source), Limits(cpu_time=timedelta(seconds=1)))


def worker_of(facts: Facts) -> int:
    return int(facts.stdout.head)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
async def runtime() -> AsyncIterator[Any]:
    runtime = LocalRuntime(options())
    await runtime.start()
    yield runtime
    await runtime.stop()
    assert runtime.worker_pids == ()


async def test_runs_many_samples_at_once_on_one_worker(runtime: LocalRuntime) -> None:
    facts = await asyncio.gather(*(runtime.run(sample("ok")) for _ in range(200)))
    assert len({worker_of(fact) for fact in facts}) == 1
    assert facts[0].usage.cpu_user == timedelta(milliseconds=100)
    assert facts[0].timeline.ended_ns - facts[0].timeline.forked_ns == 20_000


async def test_gives_the_worker_nothing_of_its_own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "42")
    runtime = LocalRuntime(options())
    await runtime.start()
    (environment,), _ = runtime.describe()
    await runtime.stop()
    assert "SECRET_TOKEN" not in environment.digest
    assert '"TZ": "UTC"' in environment.digest


@pytest.mark.parametrize("source", ["crash", "garbage", "oversize", "stranger", "forged"])
async def test_a_worker_that_dies_or_lies_is_lost_and_replaced(runtime: LocalRuntime, source: str) -> None:
    first = worker_of(await runtime.run(sample("ok")))
    neighbour = asyncio.create_task(runtime.run(sample("slow")))
    await asyncio.sleep(0)
    with pytest.raises(WorkerLostError):
        await runtime.run(sample(source))
    with pytest.raises(WorkerLostError):
        await neighbour
    assert worker_of(await runtime.run(sample("ok"))) != first
    assert runtime.serving
    await runtime.stop()
    assert not alive(first)


async def test_gives_up_after_too_many_workers_that_died_young() -> None:
    runtime = LocalRuntime(options(fast_failures=3))
    await runtime.start()
    for _ in range(3):
        with pytest.raises(WorkerLostError):
            await runtime.run(sample("crash"))
    with pytest.raises(WorkerLostError, match="3 workers in a row"):
        await runtime.run(sample("ok"))
    assert not runtime.serving
    await runtime.stop()


async def test_replaces_a_worker_after_its_cells_without_losing_samples() -> None:
    runtime = LocalRuntime(options(cells_per_worker=10))
    await runtime.start()
    slow = asyncio.create_task(runtime.run(sample("slow")))
    first = runtime.worker_pids[0]
    workers: set[int] = set()
    while len(workers) < 3:
        workers.add(worker_of(await runtime.run(sample("ok"))))
    # The slow one keeps the first worker alive until it is answered.
    assert alive(first)
    assert not slow.done()
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow
    while first in runtime.worker_pids:  # noqa: ASYNC110 -- a test waits for what it can only look at
        await asyncio.sleep(0.01)
    assert not alive(first)
    await runtime.stop()


async def test_replaces_a_worker_after_an_anomaly(runtime: LocalRuntime) -> None:
    first = worker_of(await runtime.run(sample("anomaly")))
    while worker_of(await runtime.run(sample("ok"))) == first:  # noqa: ASYNC110 -- a test waits for what it can only look at
        await asyncio.sleep(0.01)
    assert runtime.serving


async def test_cancelling_kills_the_cell_and_leaves_the_worker(runtime: LocalRuntime) -> None:
    first = worker_of(await runtime.run(sample("ok")))
    running = asyncio.create_task(runtime.run(sample("slow")))
    await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert worker_of(await runtime.run(sample("ok"))) == first


async def test_a_lone_surrogate_from_a_sample_does_not_cost_the_worker(runtime: LocalRuntime) -> None:
    facts = await runtime.run(sample("surrogate"))
    assert facts.error is not None
    assert facts.error.message == "?"


async def test_chooses_the_profile_by_what_is_imported(runtime: LocalRuntime) -> None:
    chosen = {}
    for imports in ("import os, numpy as np", "from matplotlib import pyplot", "import os"):
        chosen[imports] = (await runtime.run(sample(f"profile \n{imports}\n"))).tampering
    assert list(chosen.values()) == [("scientific",), ("scientific",), ("none",)]


async def test_parses_with_the_worker(runtime: LocalRuntime) -> None:
    assert await runtime.parse("good", "local") is None
    fault = await runtime.parse("bad", "local")
    assert fault is not None
    assert (fault.message, fault.line) == ("bad", 3)


async def test_a_worker_that_says_why_it_cannot_start_is_quoted() -> None:
    with pytest.raises(WallMissingError, match="no user namespaces here"):
        await LocalRuntime(options(hidden_paths=("fail",))).start()


async def test_a_worker_that_dies_at_its_start_leaves_its_last_words() -> None:
    with pytest.raises(WorkerStartError, match=r"my last \\u001b\[31mwords"):
        await LocalRuntime(options(hidden_paths=("mumble",))).start()


async def test_an_interpreter_that_is_not_there_is_named() -> None:
    with pytest.raises(WorkerStartError, match="/nowhere/python"):
        await LocalRuntime(options(python=Path("/nowhere/python"))).start()


async def test_refuses_to_start_without_a_wall() -> None:
    runtime = LocalRuntime(options(hidden_paths=("no-network",)))
    with pytest.raises(WallMissingError, match="network_namespace"):
        await runtime.start()
    assert runtime.worker_pids == ()
    assert not runtime.serving


async def test_starts_weakly_only_when_allowed_and_tells() -> None:
    runtime = LocalRuntime(options(hidden_paths=("no-network",), allow_weak_isolation=True))
    await runtime.start()
    _, walls = runtime.describe()
    await runtime.stop()
    assert [wall.name for wall in walls if not wall.standing] == ["network_namespace"]


def test_a_wall_that_nobody_knows_does_not_stand() -> None:
    assert missing_walls([Wall("seccomp", False, "")], frozenset({"moat"}), allow_weak=True) == ("moat",)
    assert missing_walls([Wall("seccomp", False, "")], frozenset(), allow_weak=False) == ("seccomp",)
    assert missing_walls([Wall("seccomp", True, "")], frozenset(), allow_weak=False) == ()


async def test_keeps_nothing_of_samples_that_are_answered() -> None:
    runtime = LocalRuntime(options())
    await runtime.start()
    link = runtime._pool._worker.link  # type: ignore[union-attr]  # started above
    for _ in range(20):
        await asyncio.gather(*(runtime.run(sample("ok")) for _ in range(100)))
        assert link.in_flight == 0
    await runtime.stop()

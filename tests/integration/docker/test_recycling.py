"""Workers replaced under load, after so many cells, after a time and after an anomaly: no sample notices."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sandbox_server.model import Limits, Sample, ScriptTask
from sandbox_server.runtimes.docker.runtime import DockerRuntime
from tests.contract.ways import docker_options

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Start = Callable[..., Awaitable["Load"]]

pytestmark = [pytest.mark.docker("python"), pytest.mark.timeout(300)]
AT_ONCE = 8
COUNTED = ScriptTask("print(6 * 7)")


class Load:
    """Samples that never pause, and which containers there were meanwhile."""

    def __init__(self, runtime: DockerRuntime) -> None:
        self.runtime = runtime
        self.seen: set[str] = set()
        self.answers: Counter[tuple[int | None, bytes]] = Counter()

    async def until(self, enough: Callable[[], bool]) -> None:
        """Runs samples, several at once, until enough is seen."""

        async def run() -> None:
            while not enough():
                facts = await self.runtime.run(Sample("s", COUNTED, Limits(), environment="python"))
                assert facts.sandbox_fault is None
                self.answers[facts.exit_code, facts.stdout.head] += 1
                self.seen |= set(self.runtime.container_ids)

        await asyncio.gather(*(run() for _ in range(AT_ONCE)))
        assert set(self.answers) == {(0, b"42\n")}

    async def must_keep_one(self) -> None:
        """Sees that one worker is left once those that were replaced have gone."""
        while len(self.runtime.container_ids) > 1:  # noqa: ASYNC110 -- a test waits for what it can only look at
            await asyncio.sleep(0.05)
        listed = {one.container_id for one in await self.runtime._engine.containers()}
        while listed & (self.seen - set(self.runtime.container_ids)):
            await asyncio.sleep(0.05)
            listed = {one.container_id for one in await self.runtime._engine.containers()}


@pytest.fixture
async def started() -> AsyncIterator[Start]:
    runtimes: list[DockerRuntime] = []

    async def start(**policy: float) -> Load:
        options = docker_options()
        runtime = DockerRuntime(replace(options, policy=replace(options.policy, **policy)))  # type: ignore[arg-type]
        runtimes.append(runtime)
        await runtime.start()
        return Load(runtime)

    yield start
    for runtime in runtimes:
        await runtime.stop()
        assert runtime.container_ids == ()


async def test_after_a_number_of_cells(started: Start) -> None:
    load = await started(cells_per_worker=25)
    await load.until(lambda: len(load.seen) >= 4)
    assert sum(load.answers.values()) >= 3 * 25
    await load.must_keep_one()


async def test_after_a_time(started: Start) -> None:
    load = await started(worker_lifetime_s=0.5)
    await load.until(lambda: len(load.seen) >= 4)
    await load.must_keep_one()


async def test_after_an_anomaly(started: Start) -> None:
    load = await started()
    running = asyncio.create_task(load.until(lambda: len(load.seen) >= 4))
    for count in (2, 3, 4):
        (place,) = load.runtime._places.values()
        serving = place.workers._worker
        assert serving is not None
        serving._anomaly("a ghost in the cell")
        while len(load.seen) < count:  # noqa: ASYNC110 -- a test waits for what it can only look at
            await asyncio.sleep(0.05)
    await running
    await load.must_keep_one()


async def test_a_sample_that_goes_on_keeps_its_worker(started: Start) -> None:
    load = await started(cells_per_worker=10)
    (first,) = load.runtime.container_ids
    sleeper = ScriptTask("import sys; sys.stdin.read(); import time; time.sleep(6); print('awake')")
    slow = asyncio.create_task(load.runtime.run(Sample("slow", sleeper, Limits(), environment="python")))
    await asyncio.sleep(0)
    await load.until(lambda: len(load.seen) >= 3)
    if not slow.done():  # a slow machine may take its time with containers
        assert first in load.runtime.container_ids
    assert (await slow).stdout.head == b"awake\n"
    await load.must_keep_one()
    assert first not in load.runtime.container_ids

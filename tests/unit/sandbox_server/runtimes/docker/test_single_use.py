from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from sandbox_server.environments import NO_PROFILE
from sandbox_server.errors import EngineUnavailableError, WallMissingError, WorkerLostError, WorkerStartError
from sandbox_server.model import Facts, Limits, MemorySource, Sample, ScriptTask, Wall
from sandbox_server.runtimes.agent_link import Hello
from sandbox_server.runtimes.docker import single_use
from sandbox_server.runtimes.docker.single_use import SingleUsePool
from sandbox_server.runtimes.facts import Ready
from sandbox_server.runtimes.pool import PoolPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_server.runtimes.worker import Worker

SAMPLE = Sample(sample_id="s", task=ScriptTask("pass"), limits=Limits())
FACTS = cast("Facts", object())


class FakeWorker:
    """A container that is told when to be ready, to answer and to die."""

    def __init__(self, yard: Yard, number: int, on_lost: Callable[[Any, str], None]) -> None:
        self.yard = yard
        self.name = f"container {number}"
        self.number = number
        self.on_lost = on_lost
        self.link = self
        self.samples = 0
        self.answers: asyncio.Future[Facts] = asyncio.get_running_loop().create_future()
        self.stopped = False

    @property
    def ready(self) -> Ready:
        return Ready("3.11.2", "sha256:0", (), self.yard.walls, MemorySource.SAMPLED)

    async def start(self, _hello: Hello, _patience_s: float) -> None:
        try:
            await self.yard.gate.wait()
            self.yard.fail()
        except BaseException:
            self.stopped = True
            raise
        if self.number in self.yard.die_when_ready:
            self.die()

    async def run(self, _sample: Sample, profile: str, _on_activity: object = None) -> Facts:
        assert profile == NO_PROFILE
        assert not self.stopped
        self.samples += 1
        if self.yard.slow:
            return await self.answers
        return FACTS

    def die(self) -> None:
        self.on_lost(self, "it died")
        if not self.answers.done():
            self.answers.set_exception(WorkerLostError("it died"))
            self.answers.exception()

    async def stop(self) -> None:
        await asyncio.sleep(0)
        self.stopped = True


class Yard:
    """Where fake containers come from, and what befalls them."""

    def __init__(self) -> None:
        self.made: list[FakeWorker] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.failures: list[Exception] = []
        self.die_when_ready: set[int] = set()
        self.walls: tuple[Wall, ...] = (Wall("seccomp", standing=True, detail=""),)
        self.slow = False

    def fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)

    def launch(self, *, on_anomaly: object, on_lost: Callable[[Any, str], None]) -> Worker:
        assert on_anomaly is not None
        self.made.append(FakeWorker(self, len(self.made), on_lost))
        return cast("Worker", self.made[-1])

    def pool(self, size: int = 2, required: frozenset[str] = frozenset(), *, allow_weak: bool = False) -> SingleUsePool:
        policy = PoolPolicy(hello=Hello(allow_weak=allow_weak), required_walls=required, restart_pause_s=0.0)
        return SingleUsePool(self.launch, policy, size)

    @property
    def alive(self) -> list[int]:
        return [one.number for one in self.made if not one.stopped]


@pytest.fixture
async def yard() -> Yard:
    return Yard()


async def settle() -> None:
    """Lets everything happen that can happen without anybody's doing."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_starts_nothing_before_a_sample_asks(yard: Yard) -> None:
    pool = yard.pool()
    await settle()
    assert yard.made == []
    await pool.stop()


async def test_each_sample_has_a_container_of_its_own_and_others_are_ready_again(yard: Yard) -> None:
    pool = yard.pool(size=3)
    for _ in range(5):
        assert await pool.run(SAMPLE) is FACTS
    await settle()
    assert [one.samples for one in yard.made if one.samples] == [1] * 5
    assert all(one.stopped for one in yard.made if one.samples)
    assert len(yard.alive) == 3
    await pool.stop()
    assert yard.alive == []


async def test_as_many_are_ready_after_a_rush_as_before(yard: Yard) -> None:
    pool = yard.pool(size=2)
    assert await asyncio.gather(*(pool.run(SAMPLE) for _ in range(20))) == [FACTS] * 20
    await settle()
    assert max(one.samples for one in yard.made) == 1
    assert len(yard.alive) == 2
    await pool.stop()


async def test_never_more_start_at_once_than_are_kept(yard: Yard) -> None:
    yard.gate.clear()
    pool = yard.pool(size=2)
    running = [asyncio.create_task(pool.run(SAMPLE)) for _ in range(10)]
    await settle()
    assert len(yard.made) == 2
    yard.gate.set()
    assert await asyncio.gather(*running) == [FACTS] * 10
    await pool.stop()


async def test_a_container_that_nobody_waits_for_any_more_is_kept_for_the_next(yard: Yard) -> None:
    yard.gate.clear()
    pool = yard.pool(size=1)
    running = asyncio.create_task(pool.run(SAMPLE))
    await settle()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    yard.gate.set()
    await settle()
    assert yard.alive == [0]
    assert await pool.run(SAMPLE) is FACTS
    assert yard.made[0].samples == 1
    await pool.stop()


async def test_a_container_handed_over_in_the_moment_of_a_cancellation_is_kept(yard: Yard) -> None:
    yard.gate.clear()
    pool = yard.pool(size=1)
    running = asyncio.create_task(pool.run(SAMPLE))
    await settle()
    yard.gate.set()
    # Step by step, so that at one of them the turn is taken and the sample not yet under way.
    while not pool._ready and not yard.made[0].samples:
        turns = [*pool._waiters]
        await asyncio.sleep(0)
        if turns and turns[0].done():
            running.cancel()
            break
    with pytest.raises(asyncio.CancelledError):
        await running
    await settle()
    assert yard.made[0].samples == 0
    assert yard.alive == [0]
    await pool.stop()


async def test_a_cancelled_sample_ends_its_container(yard: Yard) -> None:
    yard.slow = True
    pool = yard.pool(size=1)
    running = asyncio.create_task(pool.run(SAMPLE))
    await settle()
    assert yard.made[0].samples == 1
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await settle()
    assert yard.made[0].stopped
    await pool.stop()


async def test_a_container_that_dies_under_its_sample_is_lost_and_ended(yard: Yard) -> None:
    yard.slow = True
    pool = yard.pool(size=1)
    running = asyncio.create_task(pool.run(SAMPLE))
    await settle()
    yard.made[0].die()
    with pytest.raises(WorkerLostError, match="it died"):
        await running
    await settle()
    assert yard.made[0].stopped
    await pool.stop()


async def test_a_container_that_dies_while_it_is_ready_is_never_lent(yard: Yard) -> None:
    pool = yard.pool(size=2)
    await pool.run(SAMPLE)
    await settle()
    ready = yard.alive
    assert len(ready) == 2
    for number in ready:
        yard.made[number].die()
    await settle()
    assert yard.alive == []
    assert await pool.run(SAMPLE) is FACTS
    assert [yard.made[number].samples for number in ready] == [0, 0]
    await pool.stop()


async def test_a_container_that_dies_in_the_moment_it_is_ready_is_started_anew(yard: Yard) -> None:
    yard.die_when_ready = {0}
    pool = yard.pool(size=1)
    assert await pool.run(SAMPLE) is FACTS
    assert (yard.made[0].samples, yard.made[1].samples) == (0, 1)
    await pool.stop()
    assert yard.alive == []


async def test_a_start_that_fails_is_tried_again(yard: Yard) -> None:
    yard.failures = [WorkerStartError("no room"), WorkerStartError("no room")]
    pool = yard.pool(size=1)
    assert await pool.run(SAMPLE) is FACTS
    assert len([one for one in yard.made if one.stopped and not one.samples]) >= 2
    await pool.stop()


async def test_an_engine_that_was_away_for_a_moment_costs_no_sample(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(single_use, "_LONGEST_PAUSE_S", 0.0)
    yard.failures = [EngineUnavailableError("it does not answer")]
    pool = yard.pool(size=1)
    assert await pool.run(SAMPLE) is FACTS
    await pool.stop()


async def test_starts_that_fail_for_good_cost_one_sample_each_its_turn(yard: Yard) -> None:
    pool = yard.pool(size=1)
    tries = PoolPolicy().fast_failures
    yard.failures = [WorkerStartError("no room")] * tries
    ended = await asyncio.gather(*(pool.run(SAMPLE) for _ in range(3)), return_exceptions=True)
    (refused,) = [one for one in ended if isinstance(one, BaseException)]
    assert isinstance(refused, WorkerLostError)
    assert "no container can be started: no room" in str(refused)
    assert ended.count(FACTS) == 2
    await pool.stop()


async def test_what_fails_for_good_is_not_tried_without_end(yard: Yard) -> None:
    tries = PoolPolicy().fast_failures
    yard.failures = [WorkerStartError("no room")] * 100
    pool = yard.pool(size=1)
    with pytest.raises(WorkerLostError):
        await pool.run(SAMPLE)
    await settle()
    assert len(yard.made) == tries
    await pool.stop()


@pytest.mark.parametrize(
    ("missing", "required", "allow_weak", "refused"),
    [
        ("seccomp", "", False, True),
        ("seccomp", "", True, False),
        ("seccomp", "seccomp", True, True),
        ("agent_out_of_reach", "", False, True),
        ("private_filesystem", "", False, False),
        ("own_proc", "", False, False),
        ("mount_namespace", "mount_namespace", False, True),
    ],
)
async def test_walls_must_stand_but_for_those_that_the_container_is(
    yard: Yard, missing: str, required: str, *, allow_weak: bool, refused: bool
) -> None:
    yard.walls = (Wall(missing, standing=False, detail=""), Wall("user_namespace", standing=True, detail=""))
    pool = yard.pool(size=1, required=frozenset(filter(None, [required])), allow_weak=allow_weak)
    if refused:
        with pytest.raises(WorkerLostError, match=missing):
            await pool.run(SAMPLE)
        await settle()
        assert len(yard.made) == 1
        assert yard.alive == []
    else:
        assert await pool.run(SAMPLE) is FACTS
    await pool.stop()
    assert yard.alive == []


async def test_a_wall_that_the_agent_itself_cannot_build_is_not_tried_again(yard: Yard) -> None:
    yard.failures = [WallMissingError("namespaces are forbidden here")]
    pool = yard.pool(size=1)
    with pytest.raises(WorkerLostError, match="namespaces are forbidden here"):
        await pool.run(SAMPLE)
    assert len(yard.made) == 1
    await pool.stop()


async def test_stopping_leaves_nothing_and_nobody_waiting(yard: Yard) -> None:
    pool = yard.pool(size=2)
    await pool.run(SAMPLE)
    await settle()
    yard.slow = True
    under_way = asyncio.create_task(pool.run(SAMPLE))
    await settle()
    yard.gate.clear()
    waiting = [asyncio.create_task(pool.run(SAMPLE)) for _ in range(4)]
    await settle()
    await pool.stop()
    assert yard.alive == []
    under_way.cancel()
    ended = await asyncio.gather(*waiting[-2:], return_exceptions=True)
    assert all(isinstance(one, WorkerLostError) for one in ended)
    for one in waiting[:2]:
        one.cancel()
    await asyncio.gather(under_way, *waiting, return_exceptions=True)
    with pytest.raises(WorkerLostError, match="not running"):
        await pool.run(SAMPLE)

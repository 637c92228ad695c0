"""Containers that are used for one sample each: started ahead, thrown away after it."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from typing import TYPE_CHECKING

import structlog

from sandbox_server.environments import NO_PROFILE
from sandbox_server.errors import (
    EngineUnavailableError,
    ImageError,
    WallMissingError,
    WorkerError,
    WorkerLostError,
    WorkerStartError,
)
from sandbox_server.runtimes.pool import missing_walls

if TYPE_CHECKING:
    from sandbox_server.model import Facts, Sample
    from sandbox_server.runtimes.base import OnActivity
    from sandbox_server.runtimes.pool import Launcher, PoolPolicy
    from sandbox_server.runtimes.worker import Worker

GIVEN_BY_THE_CONTAINER = frozenset({"mount_namespace", "private_filesystem", "own_proc"})
"""Walls that keep a sample from its neighbours' files and processes and from the machine's.

In a container of its own there are no neighbours, and its file system, read-only but for a tmpfs, is an image's. So
they need not stand there a second time, unless they are required by name."""
_LONGEST_PAUSE_S = 5.0
_STOPPED = "the runtime is not running"

_log = structlog.get_logger(__name__)


class SingleUsePool:
    """Keeps some containers ready, from the first sample on that wants one.

    Args:
        launch: Makes a container.
        policy: What is asked of it.
        size: How many are ready, or on their way, while nobody waits.
    """

    def __init__(self, launch: Launcher, policy: PoolPolicy, size: int) -> None:
        self._launch = launch
        self._policy = policy
        self._size = size
        self._ready: deque[Worker] = deque()
        self._waiters: deque[asyncio.Future[Worker]] = deque()
        self._starting: set[asyncio.Task[bool]] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._alive: set[Worker] = set()
        self._stopping = False

    async def run(self, sample: Sample, on_activity: OnActivity | None = None) -> Facts:
        """Runs a sample in a container that nothing else was or will be in.

        Raises:
            WorkerLostError: The container died under it, or none can be started.
        """
        worker = await self._take()
        try:
            return await worker.link.run(sample, NO_PROFILE, on_activity)
        finally:
            self._throw_away(worker)

    async def stop(self) -> None:
        """Ends all containers."""
        self._stopping = True
        while self._waiters:
            self._refuse(_STOPPED)
        for task in self._starting:
            task.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)
        for worker in [*self._alive]:
            self._throw_away(worker)
        await asyncio.gather(*self._ending)

    async def _take(self) -> Worker:
        """Returns a container that is ready, and has another one started in its place."""
        if self._stopping:
            raise WorkerLostError(_STOPPED)
        if self._ready:
            worker = self._ready.popleft()
            self._replenish()
            return worker
        turn: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()
        self._waiters.append(turn)
        self._replenish()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._offer(turn.result())  # it was handed over in the same moment
            raise

    def _offer(self, worker: Worker) -> None:
        """Gives a container to whoever waits longest, or keeps it ready."""
        while self._waiters:
            turn = self._waiters.popleft()
            if not turn.done():
                turn.set_result(worker)
                return
        if self._stopping:
            self._throw_away(worker)
        else:
            self._ready.append(worker)

    def _refuse(self, reason: str) -> None:
        """Tells whoever waits longest that there is no container for it."""
        while self._waiters:
            turn = self._waiters.popleft()
            if not turn.done():
                turn.set_exception(WorkerLostError(reason))
                return

    def _replenish(self) -> None:
        """Starts containers until as many are ready or coming as are wanted."""
        wanted = self._size + sum(not turn.done() for turn in self._waiters)
        while not self._stopping and len(self._starting) < min(self._size, wanted - len(self._ready)):
            task = asyncio.create_task(self._start_one())
            self._starting.add(task)
            task.add_done_callback(self._start_ended)

    async def _start_one(self) -> bool:
        """Starts one for whoever waits longest, or to be ready; returns whether that went well."""
        try:
            worker = await self._new()
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 -- logged as what it is
            # Samples that wait would wait for ever if nothing can be started; each failure costs one of them its turn.
            self._refuse(f"no container can be started: {error}")
            _log.error("container_not_started", error=str(error), exc_info=not isinstance(error, WorkerError))
            return False
        self._offer(worker)
        return True

    def _start_ended(self, task: asyncio.Task[bool]) -> None:
        self._starting.discard(task)
        if task.cancelled():
            return
        went_well = task.result()
        # Where nothing can be started, that is tried again when a sample asks, and not without end before.
        if went_well or any(not turn.done() for turn in self._waiters):
            self._replenish()

    async def _new(self) -> Worker:
        """Returns a container that is ready, after some tries.

        Raises:
            WallMissingError: A wall that must stand does not.
            WorkerError: The last try failed.
        """
        pause = self._policy.restart_pause_s
        for attempt in itertools.count(1):
            try:
                return await self._try()
            except (WallMissingError, ImageError):
                raise  # so will the next one
            except WorkerError as error:
                if attempt == self._policy.fast_failures:
                    raise
                _log.warning("container_start_failed", error=str(error), attempt=attempt)
                await asyncio.sleep(_LONGEST_PAUSE_S if isinstance(error, EngineUnavailableError) else pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
        raise AssertionError("itertools.count ended")

    async def _try(self) -> Worker:
        worker = self._launch(on_anomaly=self._on_anomaly, on_lost=self._on_lost)
        self._alive.add(worker)
        try:
            await worker.start(self._policy.hello, self._policy.start_patience_s)
        except BaseException:
            self._alive.discard(worker)  # nothing of it is left
            raise
        if worker not in self._alive:
            raise WorkerStartError("the container died as soon as it was ready")
        missing = self._missing_walls(worker)
        if missing:
            self._throw_away(worker)
            raise WallMissingError(f"walls that must stand do not: {', '.join(missing)}")
        return worker

    def _missing_walls(self, worker: Worker) -> tuple[str, ...]:
        required = self._policy.required_walls
        missing = missing_walls(worker.ready.walls, required, allow_weak=self._policy.hello.allow_weak)
        return tuple(name for name in missing if name in required or name not in GIVEN_BY_THE_CONTAINER)

    def _on_anomaly(self, worker: Worker, words: str) -> None:
        # It ends after its sample anyway.
        _log.warning("anomaly", worker=worker.name, words=words)

    def _on_lost(self, worker: Worker, reason: str) -> None:
        if worker in self._alive:
            _log.warning("worker_lost", worker=worker.name, reason=reason)
            self._throw_away(worker)

    def _throw_away(self, worker: Worker) -> None:
        if worker in self._alive:
            self._alive.discard(worker)
            if worker in self._ready:
                self._ready.remove(worker)
            task = asyncio.create_task(worker.stop())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

"""The workers of one environment: which one serves, and when it is replaced.

One worker serves at a time. It is replaced after many cells, after a time, after an anomaly and after its death. A
worker that is replaced while it lives goes on until its last sample is answered; the next one is ready before.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import structlog

from sandbox_server.errors import EngineUnavailableError, WallMissingError, WorkerError, WorkerLostError
from sandbox_server.runtimes.agent_link import Hello

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence

    from sandbox_server.model import Wall
    from sandbox_server.runtimes.facts import Ready
    from sandbox_server.runtimes.worker import Worker

_LONGEST_PAUSE_S = 5.0

_log = structlog.get_logger(__name__)


class Launcher(Protocol):
    """Makes workers, not started yet."""

    def __call__(self, *, on_anomaly: Callable[[Worker, str], None], on_lost: Callable[[Worker, str], None]) -> Worker:
        """Returns a new worker that tells of what befalls it."""


@dataclass(frozen=True, slots=True)
class PoolPolicy:
    """What a pool asks of its workers, and when it replaces them."""

    hello: Hello = field(default_factory=Hello)
    required_walls: frozenset[str] = frozenset()
    """Walls that must stand even where weak isolation is allowed."""
    cells_per_worker: int = 20_000
    worker_lifetime_s: float = 3600.0
    """After this time a worker is replaced at its next sample."""
    fast_failures: int = 5
    """How many workers in a row may die young before the pool gives up."""
    young_s: float = 20.0
    """A worker that dies within this time of being ready died young."""
    restart_pause_s: float = 0.1
    """The pause before the second try; it doubles with each further one."""
    start_patience_s: float = 180.0
    """How long a worker may take to be ready."""
    outage_patience_s: float = 60.0
    """How long samples wait for an engine that does not answer."""


class WorkerPool:
    """Keeps one worker of an environment serving.

    Args:
        launch: Makes a worker.
        policy: What is asked of workers.
    """

    def __init__(self, launch: Launcher, policy: PoolPolicy) -> None:
        self._launch = launch
        self._policy = policy
        self._worker: Worker | None = None
        self._changed = asyncio.Event()
        self._described: Ready | None = None
        self._workers: set[Worker] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._replacing: asyncio.Task[None] | None = None
        self._ready_at = 0.0
        self._failures = 0
        self._outage: tuple[float, str] | None = None
        self._given_up: str | None = None
        self._stopping = False

    @property
    def serving(self) -> bool:
        """Whether samples can be run, now or after a restart that is under way."""
        if self._worker is not None:
            return True  # also while the engine that is to replace it is away
        return self._described is not None and self._hopeless() is None

    @property
    def ready(self) -> Ready | None:
        """What the newest worker said of itself; None before the first one."""
        return self._described

    @property
    def workers(self) -> tuple[Worker, ...]:
        """The workers that live."""
        return tuple(self._workers)

    async def start(self) -> None:
        """Starts the first worker and looks at its walls.

        Raises:
            WallMissingError: A required wall does not stand.
            WorkerStartError: The worker did not come up.
        """
        self._install(await self._new_worker())

    @asynccontextmanager
    async def worker(self, *, cell: bool = True) -> AsyncIterator[Worker]:
        """Lends the worker that serves; it is not stopped before it is given back.

        Args:
            cell: Whether a cell will be made in it.

        Raises:
            WorkerLostError: There is none any more.
        """
        worker = await self._current()
        worker.users += 1
        if cell:
            worker.cells_started += 1
            self._look_at_age(worker)
        try:
            yield worker
        finally:
            worker.users -= 1
            if worker.retired and worker.users == 0:
                self._spawn(self._retire(worker))

    async def stop(self) -> None:
        """Kills every cell and worker."""
        self._stopping = True
        self._worker = None
        self._changed.set()
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*(worker.stop() for worker in [*self._workers]), *tasks, return_exceptions=True)
        # A replacement that was under way may have come up meanwhile.
        await asyncio.gather(*(worker.stop() for worker in [*self._workers]))
        self._workers.clear()

    def _hopeless(self) -> str | None:
        """Returns why no sample can be run, not even after a restart; None if one can."""
        if self._given_up is not None:
            return self._given_up
        if self._stopping:
            return "the runtime is not running"
        if self._outage is not None and time.monotonic() - self._outage[0] > self._policy.outage_patience_s:
            return self._outage[1]
        return None

    async def _current(self) -> Worker:
        while self._worker is None:
            hopeless = self._hopeless()
            if hopeless is not None or self._described is None:
                raise WorkerLostError(hopeless or "the runtime is not running")
            self._changed.clear()
            await self._changed.wait()
        return self._worker

    def _look_at_age(self, worker: Worker) -> None:
        if worker is not self._worker:
            return
        if worker.cells_started >= self._policy.cells_per_worker:
            self._replace(f"it has had {worker.cells_started} cells")
        elif time.monotonic() - self._ready_at >= self._policy.worker_lifetime_s:
            self._replace(f"it is older than {self._policy.worker_lifetime_s:g} s")

    async def _new_worker(self) -> Worker:
        policy = self._policy
        worker = self._launch(on_anomaly=self._on_anomaly, on_lost=self._on_lost)
        await worker.start(policy.hello, policy.start_patience_s)
        missing = missing_walls(worker.ready.walls, policy.required_walls, allow_weak=policy.hello.allow_weak)
        if missing:
            await worker.stop()
            raise WallMissingError(
                f"walls that must stand do not: {', '.join(missing)}. "
                "`cupel-sandbox doctor` tells why and what can be done"
            )
        self._workers.add(worker)
        return worker

    def _install(self, worker: Worker) -> None:
        self._ready_at = time.monotonic()
        self._worker = worker
        self._described = worker.ready
        self._changed.set()
        _log.info(
            "worker_ready", worker=worker.name, python=worker.ready.python_version, profiles=worker.ready.profiles
        )

    def _on_anomaly(self, worker: Worker, words: str) -> None:
        _log.warning("anomaly", worker=worker.name, words=words)
        if worker is self._worker:
            self._replace("an anomaly")

    def _on_lost(self, worker: Worker, reason: str) -> None:
        if worker not in self._workers:
            return  # it never became ready: whoever started it has the error
        _log.warning("worker_lost", worker=worker.name, reason=reason)
        self._spawn(self._retire(worker))
        if worker is not self._worker:
            return
        self._worker = None
        young = time.monotonic() - self._ready_at < self._policy.young_s
        self._failures = self._failures + 1 if young else 1
        self._replace(reason)

    async def _retire(self, worker: Worker) -> None:
        await worker.stop()
        self._workers.discard(worker)

    def _replace(self, reason: str) -> None:
        # After too many failures a worker that still lives is kept, for want of a better one.
        hopeless = self._failures >= self._policy.fast_failures and self._worker is not None
        if self._replacing is None and not self._stopping and not hopeless:
            _log.info("worker_replaced", reason=reason)
            self._replacing = self._spawn(self._start_next())

    async def _start_next(self) -> None:
        try:
            while self._failures < self._policy.fast_failures:
                if self._failures > 1:
                    await asyncio.sleep(self._policy.restart_pause_s * 2 ** (self._failures - 2))
                try:
                    worker = await self._after_outage()
                except WorkerError as error:
                    self._failures += 1
                    _log.error("worker_not_started", error=str(error), failures=self._failures)
                    continue
                await self._succeed(worker)
                return
            if self._worker is None:
                self._give_up()
        finally:
            self._replacing = None

    async def _after_outage(self) -> Worker:
        """Returns a new worker, however long its engine does not answer: nothing is wrong with workers then."""
        pause = self._policy.restart_pause_s
        while True:
            try:
                worker = await self._new_worker()
            except EngineUnavailableError as error:
                if self._outage is None:
                    _log.error("engine_unavailable", error=str(error))
                    self._outage = (time.monotonic(), str(error))
                elif self._hopeless() is not None:
                    self._changed.set()  # who waits has waited long enough
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
            else:
                if self._outage is not None:
                    _log.info("engine_available", after_s=round(time.monotonic() - self._outage[0], 1))
                    self._outage = None
                return worker

    async def _succeed(self, worker: Worker) -> None:
        old = self._worker
        self._install(worker)
        if old is not None:
            old.retired = True
            if old.users == 0:
                await self._retire(old)

    def _give_up(self) -> None:
        self._given_up = (
            f"{self._failures} workers in a row died young or did not start; the server's log tells why. "
            "Restart the server once that is mended"
        )
        _log.error("workers_given_up", failures=self._failures)
        self._changed.set()

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def missing_walls(walls: Sequence[Wall], required: frozenset[str], *, allow_weak: bool) -> tuple[str, ...]:
    """Returns the names of the walls that must stand and do not.

    Every wall must stand; where weak isolation is allowed, only those that are required by name. A required
    wall that the worker does not know does not stand.
    """
    standing = {wall.name for wall in walls if wall.standing}
    needed = set(required)
    if not allow_weak:
        needed |= {wall.name for wall in walls}
    return tuple(sorted(needed - standing))

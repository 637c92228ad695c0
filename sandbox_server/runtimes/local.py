"""The `local` runtime: the agent as a child process, its cells built straight on this machine.

Belongs here: which worker serves, and when it is replaced: after many cells, after an anomaly, after its
death. A worker that is replaced while it lives goes on until its last sample is answered; the next one is
ready before.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

import sandbox_server
from sandbox_server.environments import Profiles
from sandbox_server.errors import WallMissingError, WorkerError, WorkerLostError
from sandbox_server.model import Environment, MemorySource
from sandbox_server.runtimes.agent_link import Hello
from sandbox_server.runtimes.process import AgentProcess

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence

    from sandbox_server.model import Facts, Sample, SyntaxFault, Wall

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """How the local runtime's workers are to be."""

    python: Path
    """The interpreter of the environment."""
    environment: str = "local"
    cells: int = 4
    """How many cells run at once, at most."""
    profiles: Mapping[str, Sequence[str]] = field(default_factory=dict)
    required_walls: frozenset[str] = frozenset()
    """Walls that must stand even where weak isolation is allowed."""
    allow_weak_isolation: bool = False
    visible_paths: tuple[str, ...] = ()
    hidden_paths: tuple[str, ...] = ()
    cells_per_worker: int = 20_000
    fast_failures: int = 5
    """How many workers in a row may die young before the runtime gives up."""
    young_s: float = 20.0
    """A worker that dies within this time of being ready died young."""
    restart_pause_s: float = 0.1
    """The pause before the second try; it doubles with each further one."""
    start_patience_s: float = 180.0
    """How long a worker may take to import its profiles."""
    launcher: Path = Path(sandbox_server.__file__).parent / "agent" / "launch.py"

    @property
    def command(self) -> tuple[str, ...]:
        """What is started: -s keeps the user's own packages out, -B leaves no files behind."""
        return (str(self.python), "-s", "-B", str(self.launcher))

    @property
    def hello(self) -> Hello:
        """What a worker is told first."""
        return Hello(
            profiles=self.profiles,
            cells=self.cells,
            allow_weak=self.allow_weak_isolation,
            visible=self.visible_paths,
            hidden=self.hidden_paths,
        )


class LocalRuntime:
    """Runs samples in cells of this machine.

    Args:
        options: How its workers are to be.
    """

    name = "local"

    def __init__(self, options: LocalOptions) -> None:
        self._options = options
        self._profiles = Profiles(options.profiles)
        self._worker: AgentProcess | None = None
        self._worker_came = asyncio.Event()
        self._described: AgentProcess | None = None
        self._workers: set[AgentProcess] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._replacing: asyncio.Task[None] | None = None
        self._ready_at = 0.0
        self._failures = 0
        self._given_up: str | None = None
        self._stopping = False

    @property
    def serving(self) -> bool:
        """Whether samples can be run, now or after a restart that is under way."""
        return self._described is not None and self._given_up is None and not self._stopping

    @property
    def memory_source(self) -> MemorySource:
        """How the newest worker measures memory."""
        return self._described.ready.memory_source if self._described else MemorySource.UNSPECIFIED

    @property
    def worker_pids(self) -> tuple[int, ...]:
        """The process ids of the workers that live."""
        return tuple(worker.pid for worker in self._workers)

    async def start(self) -> None:
        """Starts the first worker and looks at its walls.

        Raises:
            WallMissingError: A required wall does not stand.
            WorkerStartError: The worker did not come up.
        """
        self._install(await self._new_worker())

    async def run(self, sample: Sample) -> Facts:
        """Runs a sample in a cell of its own.

        Raises:
            WorkerLostError: The worker died under it, or there is none any more.
        """
        worker = await self._current()
        worker.users += 1
        worker.cells_started += 1
        if worker.cells_started >= self._options.cells_per_worker and worker is self._worker:
            self._replace(f"it has had {worker.cells_started} cells")
        try:
            return await worker.link.run(sample, self._profiles.choose(sample.task, worker.ready.profiles))
        finally:
            self._release(worker)

    async def parse(self, source: str, environment: str) -> SyntaxFault | None:
        """Parses source with the environment's Python.

        Raises:
            WorkerLostError: The worker died under it, or there is none any more.
        """
        if environment != self._options.environment:
            raise ValueError(f"the local runtime has no environment {environment!r}")
        worker = await self._current()
        worker.users += 1
        try:
            return await worker.link.parse(source)
        finally:
            self._release(worker)

    def describe(self) -> tuple[Sequence[Environment], Sequence[Wall]]:
        """Returns the one environment and the walls of the newest worker."""
        if self._described is None:
            return (), ()
        ready = self._described.ready
        environment = Environment(self._options.environment, ready.digest, ready.python_version, ready.profiles)
        return (environment,), ready.walls

    async def stop(self) -> None:
        """Kills every cell and worker."""
        self._stopping = True
        self._worker = None
        self._worker_came.set()
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*(worker.stop() for worker in [*self._workers]), *tasks, return_exceptions=True)
        # A replacement that was under way may have come up meanwhile.
        await asyncio.gather(*(worker.stop() for worker in [*self._workers]))
        self._workers.clear()

    async def _current(self) -> AgentProcess:
        while self._worker is None:
            if self._given_up is not None:
                raise WorkerLostError(self._given_up)
            if self._stopping or self._described is None:
                raise WorkerLostError("the runtime is not running")
            await self._worker_came.wait()
        return self._worker

    async def _new_worker(self) -> AgentProcess:
        options = self._options
        worker = AgentProcess(options.command, on_anomaly=self._on_anomaly, on_lost=self._on_lost)
        await worker.start(options.hello, options.start_patience_s)
        missing = missing_walls(worker.ready.walls, options)
        if missing:
            await worker.stop()
            raise WallMissingError(
                f"walls that must stand do not: {', '.join(missing)}. "
                "`cupel-sandbox doctor` tells why and what can be done"
            )
        self._workers.add(worker)
        return worker

    def _install(self, worker: AgentProcess) -> None:
        self._ready_at = time.monotonic()
        self._worker = self._described = worker
        self._worker_came.set()
        _log.info("worker_ready", pid=worker.pid, python=worker.ready.python_version, profiles=worker.ready.profiles)

    def _release(self, worker: AgentProcess) -> None:
        worker.users -= 1
        if worker.retired and worker.users == 0:
            self._spawn(self._retire(worker))

    def _on_anomaly(self, worker: AgentProcess, words: str) -> None:
        _log.warning("anomaly", pid=worker.pid, words=words)
        if worker is self._worker:
            self._replace("an anomaly")

    def _on_lost(self, worker: AgentProcess, reason: str) -> None:
        if worker not in self._workers:
            return  # it never became ready: whoever started it has the error
        _log.warning("worker_lost", pid=worker.pid, reason=reason)
        self._spawn(self._retire(worker))
        if worker is not self._worker:
            return
        self._worker = None
        self._worker_came.clear()
        young = time.monotonic() - self._ready_at < self._options.young_s
        self._failures = self._failures + 1 if young else 1
        self._replace(reason)

    async def _retire(self, worker: AgentProcess) -> None:
        await worker.stop()
        self._workers.discard(worker)

    def _replace(self, reason: str) -> None:
        # After too many failures a worker that still lives is kept, for want of a better one.
        hopeless = self._failures >= self._options.fast_failures and self._worker is not None
        if self._replacing is None and not self._stopping and not hopeless:
            _log.info("worker_replaced", reason=reason)
            self._replacing = self._spawn(self._start_next())

    async def _start_next(self) -> None:
        try:
            while self._failures < self._options.fast_failures:
                if self._failures > 1:
                    await asyncio.sleep(self._options.restart_pause_s * 2 ** (self._failures - 2))
                try:
                    worker = await self._new_worker()
                except WorkerError as error:
                    self._failures += 1
                    _log.error("worker_not_started", error=str(error), failures=self._failures)
                    continue
                old = self._worker
                self._install(worker)
                if old is not None:
                    old.retired = True
                    if old.users == 0:
                        await self._retire(old)
                return
            if self._worker is None:
                self._give_up()
        finally:
            self._replacing = None

    def _give_up(self) -> None:
        self._given_up = (
            f"{self._failures} workers in a row died young or did not start; the server's log tells why. "
            "Restart the server once that is mended"
        )
        _log.error("workers_given_up", failures=self._failures)
        self._worker_came.set()

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def missing_walls(walls: Sequence[Wall], options: LocalOptions) -> tuple[str, ...]:
    """Returns the names of the walls that must stand and do not.

    Every wall must stand; where weak isolation is allowed, only those that are required by name. A required
    wall that the worker does not know does not stand.
    """
    standing = {wall.name for wall in walls if wall.standing}
    needed = set(options.required_walls)
    if not options.allow_weak_isolation:
        needed |= {wall.name for wall in walls}
    return tuple(sorted(needed - standing))

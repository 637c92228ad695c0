"""The `local` runtime: the agent as a child process, its cells built straight on this machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import sandbox_server
from sandbox_server.environments import Profiles
from sandbox_server.model import Isolation, MemorySource
from sandbox_server.runtimes.agent_link import Hello
from sandbox_server.runtimes.pool import PoolPolicy, WorkerPool
from sandbox_server.runtimes.process import AgentProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sandbox_server.model import Environment, Facts, Sample, SyntaxFault, Wall
    from sandbox_server.runtimes.base import OnActivity
    from sandbox_server.runtimes.facts import Ready
    from sandbox_server.runtimes.worker import Worker


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
    worker_lifetime_s: float = 3600.0
    fast_failures: int = 5
    """How many workers in a row may die young before the runtime gives up."""
    restart_pause_s: float = 0.1
    """The pause before the second try; it doubles with each further one."""
    start_patience_s: float = 180.0
    """How long a worker may take to be ready."""
    launcher: Path = Path(sandbox_server.__file__).parent / "agent" / "launch.py"

    @property
    def command(self) -> tuple[str, ...]:
        """What is started: -s keeps the user's own packages out, -B leaves no files behind."""
        return (str(self.python), "-s", "-B", str(self.launcher))

    @property
    def policy(self) -> PoolPolicy:
        """What is asked of workers."""
        return PoolPolicy(
            hello=Hello(
                profiles=self.profiles,
                cells=self.cells,
                allow_weak=self.allow_weak_isolation,
                visible=self.visible_paths,
                hidden=self.hidden_paths,
            ),
            required_walls=self.required_walls,
            cells_per_worker=self.cells_per_worker,
            worker_lifetime_s=self.worker_lifetime_s,
            fast_failures=self.fast_failures,
            restart_pause_s=self.restart_pause_s,
            start_patience_s=self.start_patience_s,
        )


class LocalRuntime:
    """Runs samples in cells of this machine.

    Args:
        options: How its workers are to be.
    """

    name = "local"
    isolations = frozenset({Isolation.CELL})

    def __init__(self, options: LocalOptions) -> None:
        self._options = options
        self._profiles = Profiles(options.profiles)
        self._pool = WorkerPool(self._launch, options.policy)
        self._described: Ready | None = None
        self._description: tuple[Sequence[Environment], Sequence[Wall]] = ((), ())

    @property
    def serving(self) -> bool:
        """Whether samples can be run, now or after a restart that is under way."""
        return self._pool.serving

    @property
    def memory_source(self) -> MemorySource:
        """How the newest worker measures memory."""
        return self._pool.ready.memory_source if self._pool.ready else MemorySource.UNSPECIFIED

    @property
    def worker_pids(self) -> tuple[int, ...]:
        """The process ids of the workers that live."""
        return tuple(worker.pid for worker in self._pool.workers if isinstance(worker, AgentProcess))

    async def start(self) -> None:
        """Starts the first worker and looks at its walls.

        Raises:
            WallMissingError: A required wall does not stand.
            WorkerStartError: The worker did not come up.
        """
        await self._pool.start()

    async def run(self, sample: Sample, on_activity: OnActivity | None = None) -> Facts:
        """Runs a sample in a cell of its own.

        Raises:
            WorkerLostError: The worker died under it, or there is none any more.
        """
        async with self._pool.worker() as worker:
            profile = self._profiles.choose(sample.task, worker.ready.profiles)
            return await worker.link.run(sample, profile, on_activity)

    async def parse(self, source: str, environment: str) -> SyntaxFault | None:
        """Parses source with the environment's Python.

        Raises:
            WorkerLostError: The worker died under it, or there is none any more.
        """
        if environment != self._options.environment:
            raise ValueError(f"the local runtime has no environment {environment!r}")
        async with self._pool.worker(cell=False) as worker:
            return await worker.link.parse(source)

    def describe(self) -> tuple[Sequence[Environment], Sequence[Wall]]:
        """Returns the one environment and the walls of the newest worker."""
        ready = self._pool.ready
        if ready is None:
            return (), ()
        if ready is not self._described:  # asked for by each sample, and new with a new worker only
            self._described, self._description = ready, ((ready.environment(self._options.environment),), ready.walls)
        return self._description

    async def stop(self) -> None:
        """Kills every cell and worker."""
        await self._pool.stop()

    def _launch(self, *, on_anomaly: Callable[[Worker, str], None], on_lost: Callable[[Worker, str], None]) -> Worker:
        return AgentProcess(self._options.command, on_anomaly=on_anomaly, on_lost=on_lost)

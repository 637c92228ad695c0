"""A runtime without workers: facts are invented by a sample's seed, and nothing is ever run.

For tests of clients, and of this server: every fate of a sample on demand, at any speed, on any machine. It
tells of a wall that does not stand, so that nobody takes its outcomes for real ones.
"""

from __future__ import annotations

import asyncio
import enum
import platform
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from sandbox_server.errors import WorkerLostError
from sandbox_server.model import (
    CapturedOutput,
    Environment,
    Facts,
    Isolation,
    Limit,
    RaisedError,
    SandboxFault,
    ScriptTask,
    Stage,
    StdioTask,
    TestResult,
    TestStatus,
    Timeline,
    Usage,
    Wall,
)
from sandbox_server.screening import screen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox_server.model import Sample, SyntaxFault, Task
    from sandbox_server.runtimes.base import OnActivity


class Fate(enum.Enum):
    """What becomes of a simulated sample. Seeds count through them in this order: 0 passes."""

    PASS = "pass"  # noqa: S105 -- a fate, not a password
    FAIL = "fail"
    RAISE = "raise"
    CPU = "cpu"
    WALL = "wall"
    MEMORY = "memory"
    CRASH = "crash"
    EXIT = "exit"
    FAULT = "fault"
    LOST_ONCE = "lost_once"
    """The worker is lost under the first run; the second passes."""
    LOST = "lost"
    """The worker is lost under every run."""
    HANG = "hang"
    """Runs until it is cancelled."""


_LIMITS = {Fate.CPU: Limit.CPU, Fate.WALL: Limit.WALL, Fate.MEMORY: Limit.MEMORY}
_SIGKILL, _SIGSEGV = 9, 11


class SimulatedRuntime:
    """Invents facts.

    Args:
        fates: A sample with seed n has the fate at n modulo their number.
        duration: How long each run takes.
        environment: The name of its one environment.
        environments: Several, with what is installed in them, in the place of that one.
    """

    name = "simulated"
    isolations = frozenset({Isolation.CELL})

    def __init__(
        self,
        fates: Sequence[Fate] = tuple(Fate),
        duration: timedelta = timedelta(0),
        environment: str = "local",
        environments: Sequence[Environment] = (),
    ) -> None:
        self._fates = tuple(fates)
        self._duration = duration
        self._environments = tuple(environments) or (Environment(environment, "simulated", platform.python_version()),)
        self._lost_once: set[tuple[str, int]] = set()
        self.serving = True
        """Tests set it to False to have workers lost for good."""
        self.running = 0
        """How many samples run now."""
        self.most_running = 0
        """How many samples ran at once, at most."""
        self.killed = 0
        """How many runs were cancelled."""
        self.order: list[str] | None = None
        """Set to a list, it collects sample ids in the order in which their runs began."""

    async def start(self) -> None:
        """Does nothing: there is nothing to start."""

    async def run(self, sample: Sample, on_activity: OnActivity | None = None) -> Facts:
        """Returns invented facts. Nothing sleeps here.

        Raises:
            WorkerLostError: The sample's fate is to lose its worker.
        """
        del on_activity
        fate = self._fates[sample.seed % len(self._fates)]
        started_ns = time.time_ns()
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        if self.order is not None:
            self.order.append(sample.sample_id)
        try:
            if fate is Fate.HANG:
                await asyncio.Event().wait()
            await asyncio.sleep(self._duration.total_seconds())
            self._lose(sample, fate)
        except asyncio.CancelledError:
            self.killed += 1
            raise
        finally:
            self.running -= 1
        return _facts(sample, fate, Timeline(0, 0, 0, started_ns, started_ns, time.time_ns()))

    async def parse(self, source: str, environment: str) -> SyntaxFault | None:
        """Parses with the server's own Python, which is the only one here."""
        del environment
        return screen(ScriptTask(source)).syntax_fault

    def describe(self) -> tuple[Sequence[Environment], Sequence[Wall]]:
        """Returns the environments, and a wall that does not stand."""
        return self._environments, (Wall("reality", False, "nothing is run: facts are invented by seed"),)

    async def stop(self) -> None:
        """Takes no more samples."""
        self.serving = False

    def _lose(self, sample: Sample, fate: Fate) -> None:
        key = (sample.sample_id, sample.attempt)
        if fate is Fate.LOST:
            raise WorkerLostError("the simulated worker is lost under every run")
        if fate is Fate.LOST_ONCE and key not in self._lost_once:
            self._lost_once.add(key)
            raise WorkerLostError("the simulated worker is lost under the first run")
        self._lost_once.discard(key)


def _facts(sample: Sample, fate: Fate, timeline: Timeline) -> Facts:
    usage = Usage(wall=timedelta(microseconds=(timeline.ended_ns - timeline.started_ns) // 1000))
    output = CapturedOutput(head=f"{fate.value}\n".encode(), total_bytes=len(fate.value) + 1)
    common = {"stdout": output, "usage": usage, "timeline": timeline}
    if fate is Fate.FAULT:
        return Facts(sandbox_fault=SandboxFault("SIMULATED", "a fault by seed"), timeline=timeline)
    if fate in _LIMITS:
        return Facts(stage=Stage.LOADING, exit_signal=_SIGKILL, limit=_LIMITS[fate], **common)  # type: ignore[arg-type]  # a mapping's values have one type
    if fate is Fate.CRASH:
        return Facts(stage=Stage.LOADING, exit_signal=_SIGSEGV, **common)  # type: ignore[arg-type]  # as above
    if fate is Fate.EXIT:
        return Facts(stage=Stage.LOADING, exit_code=0, **common)  # type: ignore[arg-type]  # as above
    if fate is Fate.RAISE:
        error = RaisedError("ValueError", "raised by seed", "Traceback: ValueError: raised by seed")
        return Facts(stage=Stage.LOADING, exit_code=1, error=error, **common)  # type: ignore[arg-type]  # as above
    tests = _tests(sample.task)
    status = _failure(sample.task) if fate is Fate.FAIL else TestStatus.PASSED
    results = tuple(TestResult(test, status if number == 0 else TestStatus.PASSED) for number, test in enumerate(tests))
    code = 1 if fate is Fate.FAIL and isinstance(sample.task, ScriptTask) else 0
    return Facts(
        stage=Stage.COMPLETE,
        exit_code=code,
        results=results,
        reported_tests=tests,
        **common,  # type: ignore[arg-type]  # as above
    )


def _tests(task: Task) -> tuple[str, ...]:
    if isinstance(task, ScriptTask):
        return ()
    declared = screen(task).declared_tests
    return ("test",) if declared is None else declared


def _failure(task: Task) -> TestStatus:
    return TestStatus.WRONG_OUTPUT if isinstance(task, StdioTask) else TestStatus.FAILED

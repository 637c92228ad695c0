"""Screens samples without ever holding up the server's loop, and places those whose imports decide on where they run.

Belongs here: where the screening runs. What it looks for is in `screening`, where a sample runs in `placement`; both
are pure. A small source is
parsed at once. A large one (1 MiB can take seconds) is parsed in a process of its own, which may also crash:
a parser is a large program, and its input is hostile.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import structlog

from sandbox_server.environments import sources_of
from sandbox_server.lifeline import die_with_parent
from sandbox_server.model import Screening, SyntaxFault
from sandbox_server.placement import by_imports, placed
from sandbox_server.screening import screen

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_server.model import Sample, Task
    from sandbox_server.runtimes.base import Runtime

# Measured: 64 KiB of the densest code (nested f-strings, 16,000 assignments) take 0.4 to 0.7 s, in which no
# other sample is answered. Samples of the usual benchmarks have less than 10 KiB.
INLINE_CHARACTERS = 16 << 10
PATIENCE_S = 20.0
_PROCESS_MEMORY_BYTES = 4 << 30

_log = structlog.get_logger(__name__)


class Screener:
    """Screens samples, small ones at once and large ones in a process of its own.

    Args:
        runtime: Parses with the environment's Python where its grammar is another than the server's.
        environment: The name of the environment that is first among equals.
        look: What screens a task; called with `imports=True` where it must say what the task imports.
        inline_characters: Tasks with less source than this are screened at once.
        patience_s: How long a parse in the process may take.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        environment: str = "",
        look: Callable[..., Screening] = screen,
        inline_characters: int = INLINE_CHARACTERS,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._runtime = runtime
        self._environment = environment
        self._look = look
        self._inline_characters = inline_characters
        self._patience_s = patience_s
        self._pool: ProcessPoolExecutor | None = None
        self._turn = asyncio.Lock()

    async def screen(self, sample: Sample) -> tuple[Sample, Screening]:
        """Returns a sample with its environment, and what the static screening of it sees.

        Raises:
            WorkerLostError: The environment's own Python was asked, and its worker died.
        """
        look: Callable[[Task], Screening] = self._look if sample.environment else partial(self._look, imports=True)
        if sum(map(len, sources_of(sample.task))) < self._inline_characters:
            screening = look(sample.task)
        else:
            screening = await self._screen_apart(sample, look)
        environments, _ = self._runtime.describe()
        if not sample.environment and environments:
            chosen = by_imports(screening.imports, sample.packages, environments, self._environment)
            sample = placed(sample, chosen)
        versions = [known.python_version for known in environments if known.name == sample.environment]
        if all(_has_servers_grammar(version) for version in versions):
            return sample, screening
        return sample, await self._by_environment(sample, screening)

    def close(self) -> None:
        """Kills the process."""
        if self._pool is None:
            return
        for process in list((self._pool._processes or {}).values()):  # noqa: SLF001 -- the pool offers no kill before 3.14
            process.kill()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool = None

    async def _screen_apart(self, sample: Sample, look: Callable[[Task], Screening]) -> Screening:
        # One at a time, so that the clock of a sample starts when its parse does.
        async with self._turn:
            fault = ""
            for _ in range(2):  # a process that something else killed must not condemn a sample
                try:
                    async with asyncio.timeout(self._patience_s):
                        loop = asyncio.get_running_loop()
                        return await loop.run_in_executor(self._process(), look, sample.task)
                except TimeoutError:
                    self.close()
                    fault = f"the source is not parsed after {self._patience_s:g} s"
                    break
                except BrokenProcessPool:
                    self.close()
                    fault = "the parser crashes on this source"
                except asyncio.CancelledError:
                    self.close()
                    raise
        _log.warning("not_screened", sample_id=sample.sample_id, fault=fault)
        # The interpreter would fare no better: it has the same parser.
        return Screening(SyntaxFault(fault), entry_point_found=False, findings=(), declared_tests=None)

    def _process(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                max_workers=1,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_prepare_process,
                initargs=(os.getpid(),),
            )
        return self._pool

    async def _by_environment(self, sample: Sample, screening: Screening) -> Screening:
        fault = await self._runtime.parse(sources_of(sample.task)[0], sample.environment)
        if fault is None and screening.syntax_fault is not None:
            # Valid there and not here, so nothing else that was seen here counts: the run will tell.
            return Screening(None, entry_point_found=True, findings=(), declared_tests=None)
        return replace(screening, syntax_fault=fault)


def _has_servers_grammar(python_version: str) -> bool:
    return python_version.split(".")[:2] == [str(part) for part in sys.version_info[:2]]


def _prepare_process(server: int) -> None:
    # Nothing tells a pool's process that the server was killed, and it must not be left behind.
    die_with_parent(signal.SIGKILL)
    if os.getppid() != server:
        os._exit(1)  # it was killed before the kernel was asked
    resource.setrlimit(resource.RLIMIT_AS, (_PROCESS_MEMORY_BYTES, _PROCESS_MEMORY_BYTES))

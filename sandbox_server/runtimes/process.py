"""A worker that is a child process of the server, its cells built straight on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING

import structlog

from sandbox_server.errors import WorkerStartError
from sandbox_server.runtimes.worker import ENVIRONMENT, STREAM_BUFFER_BYTES, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_log = structlog.get_logger(__name__)


class AgentProcess(Worker):
    """An agent that runs as a child of this process.

    Args:
        command: What to start.
        on_anomaly: Called with this worker and the agent's words.
        on_lost: Called once with this worker and the reason, when it dies or has to be killed.
        stop_patience_s: How long it may take to end when asked.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        on_anomaly: Callable[[Worker, str], None],
        on_lost: Callable[[Worker, str], None],
        stop_patience_s: float = 5.0,
    ) -> None:
        super().__init__(on_anomaly=on_anomaly, on_lost=on_lost, stop_patience_s=stop_patience_s)
        self._command = tuple(command)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def name(self) -> str:
        """What log lines call it."""
        return f"process {self._process.pid}" if self._process is not None else "process"

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None, "the worker was not started"
        return self._process.pid

    async def _launch(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, asyncio.StreamReader]:
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=ENVIRONMENT,
                cwd="/",
                start_new_session=True,
                limit=STREAM_BUFFER_BYTES,
            )
        except OSError as error:
            raise WorkerStartError(
                f"cannot start {self._command[0]!r}: {error.strerror}; name a Python with --python"
            ) from error
        stdin, stdout, stderr = self._process.stdin, self._process.stdout, self._process.stderr
        assert stdin is not None
        assert stdout is not None
        assert stderr is not None
        return stdout, stdin, stderr

    async def _interrupt(self) -> None:
        assert self._process is not None
        # Only the agent's first process gets it, which clears up what stands outside the cells; all
        # others die with it.
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    async def _remove(self) -> None:
        process = self._process
        if process is None:
            return
        try:
            async with asyncio.timeout(self._stop_patience_s):
                await process.wait()
        except TimeoutError:
            _log.warning("worker_killed", worker=self.name, reason=f"still there after {self._stop_patience_s:g} s")
        # Even when the leader is gone: a group outlives it.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()

"""One agent as a child process of the server: its start, its log lines, its end.

Belongs here: everything about the process itself. What is said over its pipes is in `agent_link`, and when to
start another one in `local`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import deque
from typing import TYPE_CHECKING

import structlog

from sandbox_server import telemetry
from sandbox_server.errors import WorkerStartError
from sandbox_server.runtimes.agent_link import AgentLink, Hello

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sandbox_server.runtimes.facts import Ready

ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "HOME": "/tmp",  # noqa: S108 -- a cell's own tmpfs, not the machine's
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    # A zygote must have a single thread when it forks.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MPLBACKEND": "Agg",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
}
"""All that an agent, and so a sample, finds in its environment. Nothing of the server's own goes in."""

_LINE_BYTES = 4096
_LINES_PER_WORKER = 500
_LAST_WORDS = 8
_STREAM_BUFFER_BYTES = 1 << 20

_log = structlog.get_logger(__name__)


class AgentProcess:
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
        on_anomaly: Callable[[AgentProcess, str], None],
        on_lost: Callable[[AgentProcess, str], None],
        stop_patience_s: float = 5.0,
    ) -> None:
        self._command = tuple(command)
        self._on_anomaly = on_anomaly
        self._on_lost = on_lost
        self._stop_patience_s = stop_patience_s
        self._process: asyncio.subprocess.Process | None = None
        self._link: AgentLink | None = None
        self._ready: Ready | None = None
        self._ending: asyncio.Task[None] | None = None
        self._log_reader: asyncio.Task[None] | None = None
        self._last_words: deque[str] = deque(maxlen=_LAST_WORDS)
        self.cells_started = 0
        """How many cells it was given in its life."""
        self.users = 0
        """How many still need it; a retired worker is stopped when nobody does."""
        self.retired = False

    @property
    def link(self) -> AgentLink:
        """The conversation with it."""
        assert self._link is not None, "the worker was not started"
        return self._link

    @property
    def ready(self) -> Ready:
        """What it said of itself."""
        assert self._ready is not None, "the worker was not started"
        return self._ready

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None, "the worker was not started"
        return self._process.pid

    async def start(self, hello: Hello, patience_s: float) -> None:
        """Starts it and waits until it is ready; nothing of it is left when this fails.

        Raises:
            WallMissingError: A required wall does not stand.
            WorkerStartError: It did not come up.
        """
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=ENVIRONMENT,
                cwd="/",
                start_new_session=True,
                limit=_STREAM_BUFFER_BYTES,
            )
        except OSError as error:
            raise WorkerStartError(
                f"cannot start {self._command[0]!r}: {error.strerror}; name a Python with --python"
            ) from error
        stdin, stdout, stderr = self._process.stdin, self._process.stdout, self._process.stderr
        assert stdin is not None
        assert stdout is not None
        assert stderr is not None
        self._log_reader = asyncio.create_task(self._forward(stderr), name="agent log")
        self._link = AgentLink(stdout, stdin, on_anomaly=self._anomaly, on_lost=self._lost)
        try:
            async with asyncio.timeout(patience_s):
                self._ready = await self._link.open(hello)
        except TimeoutError:
            await self.stop()
            raise WorkerStartError(f"the worker was not ready after {patience_s:g} s") from None
        except WorkerStartError as error:
            await self.stop()
            if not self._last_words:
                raise
            words = "".join(f"\n  {line}" for line in self._last_words)
            raise type(error)(f"{error}. Its last words:{words}") from error
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Ends it, by force if it does not end when asked. Returns when its process is gone."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._end(forced=False), name="agent end")
        # Whoever waits may be cancelled; the ending goes on.
        await asyncio.shield(self._ending)

    def _anomaly(self, words: str) -> None:
        self._on_anomaly(self, words)

    def _lost(self, reason: str) -> None:
        if self._ending is None:
            self._ending = asyncio.create_task(self._end(forced=True), name="agent end")
        self._on_lost(self, reason)

    async def _end(self, *, forced: bool) -> None:
        process = self._process
        assert process is not None
        if forced:
            # Only the agent's first process gets it, which clears up what stands outside the cells; all
            # others die with it.
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        if self._link is not None:
            await self._link.close()
        try:
            async with asyncio.timeout(self._stop_patience_s):
                await process.wait()
        except TimeoutError:
            _log.warning("worker_killed", pid=process.pid, reason=f"still there after {self._stop_patience_s:g} s")
        # Even when the leader is gone: a group outlives it.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        if self._log_reader is not None:
            # A process that left the group could hold the pipe open for ever.
            await asyncio.wait([self._log_reader], timeout=1.0)
            self._log_reader.cancel()

    async def _forward(self, stderr: asyncio.StreamReader) -> None:
        """Logs what the agent writes, as data, and goes on reading when the worker has used up its lines."""
        lines = 0
        rest = b""
        while data := await stderr.read(_LINE_BYTES):
            *complete, rest = (rest + data).split(b"\n")
            if len(rest) > _LINE_BYTES:
                complete.append(rest)
                rest = b""
            for line in complete:
                lines += 1
                text = line[:_LINE_BYTES].decode("utf-8", "replace")
                self._last_words.append(telemetry.escape(text))
                if lines <= _LINES_PER_WORKER:
                    _log.info("agent_says", pid=self.pid, line=text)
                elif lines == _LINES_PER_WORKER + 1:
                    _log.warning("agent_log_full", pid=self.pid, lines=_LINES_PER_WORKER)
        if rest:
            self._last_words.append(telemetry.escape(rest.decode("utf-8", "replace")))
            _log.info("agent_says", pid=self.pid, line=self._last_words[-1])

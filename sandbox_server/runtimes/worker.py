"""One worker of a runtime: an agent, however it was started, its log lines, its end.

Belongs here: what is the same for every kind of worker. How one is started and ended is its subclass's matter, what is
said to its agent is in `agent_link`, and when to start another one in `pool`.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING

import structlog

from sandbox_server import telemetry
from sandbox_server.errors import WorkerStartError
from sandbox_server.runtimes.agent_link import AgentLink, Hello

if TYPE_CHECKING:
    from collections.abc import Callable

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

STREAM_BUFFER_BYTES = 1 << 20
_LINE_BYTES = 4096
_LINES_PER_WORKER = 500
_LAST_WORDS = 8
_LOG_PATIENCE_S = 1.0

_log = structlog.get_logger(__name__)


class Worker(ABC):
    """An agent that this server started.

    Args:
        on_anomaly: Called with this worker and the agent's words.
        on_lost: Called once with this worker and the reason, when it dies or has to be killed.
        stop_patience_s: How long it may take to end when asked.
    """

    def __init__(
        self,
        *,
        on_anomaly: Callable[[Worker, str], None],
        on_lost: Callable[[Worker, str], None],
        stop_patience_s: float = 5.0,
    ) -> None:
        self._on_anomaly = on_anomaly
        self._on_lost = on_lost
        self._stop_patience_s = stop_patience_s
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
    @abstractmethod
    def name(self) -> str:
        """What log lines call it."""

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

    async def start(self, hello: Hello, patience_s: float) -> None:
        """Starts it and waits until it is ready; nothing of it is left when this fails.

        Args:
            hello: What it is asked to be.
            patience_s: How long it may take, in seconds.

        Raises:
            WallMissingError: A required wall does not stand.
            WorkerStartError: It did not come up.
        """
        try:
            async with asyncio.timeout(patience_s):
                stdout, stdin, stderr = await self._launch()
                self._log_reader = asyncio.create_task(self._forward(stderr), name="agent log")
                self._link = AgentLink(stdout, stdin, on_anomaly=self._anomaly, on_lost=self._lost)
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
        """Ends it, by force if it does not end when asked. Returns when nothing of it is left."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._end(forced=False), name="agent end")
        # Whoever waits may be cancelled; the ending goes on.
        await asyncio.shield(self._ending)

    @abstractmethod
    async def _launch(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, asyncio.StreamReader]:
        """Starts the agent; returns its standard output, input and error.

        Raises:
            WorkerStartError: It cannot be started.
        """

    @abstractmethod
    async def _interrupt(self) -> None:
        """Tells a started agent to end by another way than its link, which is broken."""

    @abstractmethod
    async def _remove(self) -> None:
        """Waits until the agent has ended, by force if that takes too long; nothing of it is left afterwards.

        Called also when `_launch` failed half-way, or was never called.
        """

    def _anomaly(self, words: str) -> None:
        self._on_anomaly(self, words)

    def _lost(self, reason: str) -> None:
        if self._ending is None:
            self._ending = asyncio.create_task(self._end(forced=True), name="agent end")
        self._on_lost(self, reason)

    async def _end(self, *, forced: bool) -> None:
        if forced:
            await self._interrupt()
        if self._link is not None:
            await self._link.close()
        await self._remove()
        if self._log_reader is not None:
            # A process that left the group could hold the pipe open for ever.
            await asyncio.wait([self._log_reader], timeout=_LOG_PATIENCE_S)
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
                    _log.info("agent_says", worker=self.name, line=text)
                elif lines == _LINES_PER_WORKER + 1:
                    _log.warning("agent_log_full", worker=self.name, lines=_LINES_PER_WORKER)
        if rest:
            self._last_words.append(telemetry.escape(rest.decode("utf-8", "replace")))
            _log.info("agent_says", worker=self.name, line=self._last_words[-1])

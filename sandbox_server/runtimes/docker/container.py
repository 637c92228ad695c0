"""A worker that is a container."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from sandbox_server.errors import WorkerError
from sandbox_server.runtimes.docker.attach import open_streams
from sandbox_server.runtimes.worker import STREAM_BUFFER_BYTES, Worker

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from sandbox_server.runtimes.docker.engine import Engine
    from sandbox_server.runtimes.docker.hardening import Container

_log = structlog.get_logger(__name__)


class AgentContainer(Worker):
    """An agent that runs in a container.

    Args:
        engine: Where.
        container: What to create.
        on_anomaly: Called with this worker and the agent's words.
        on_lost: Called once with this worker and the reason, when it dies or has to be killed.
    """

    def __init__(
        self,
        engine: Engine,
        container: Container,
        *,
        on_anomaly: Callable[[Worker, str], None],
        on_lost: Callable[[Worker, str], None],
    ) -> None:
        super().__init__(on_anomaly=on_anomaly, on_lost=on_lost)
        self._engine = engine
        self._container = container
        self._creating: asyncio.Task[str] | None = None
        self._attaching: asyncio.Task[socket.socket] | None = None
        self._connection: socket.socket | asyncio.StreamWriter | None = None
        self.container_id = ""
        self.ended = False
        """Whether this worker has done what it can to remove it."""

    @property
    def name(self) -> str:
        """What log lines call it."""
        return f"container {self.container_id[:12]}"

    async def _launch(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, asyncio.StreamReader]:
        # Whoever waits may be cancelled; the engine creates it all the same, and `_remove` must know its id.
        self._creating = asyncio.create_task(self._engine.create(self._container))
        self.container_id = await asyncio.shield(self._creating)
        self._attaching = asyncio.create_task(self._engine.attach(self.container_id))
        self._connection = connection = await asyncio.shield(self._attaching)
        streams = await open_streams(connection, STREAM_BUFFER_BYTES)
        self._connection = streams[1]
        await self._engine.start(self.container_id)
        return streams

    async def _interrupt(self) -> None:
        """Leaves it to `_remove`, which kills."""

    async def _remove(self) -> None:
        if self._creating is None:
            return
        await asyncio.wait({self._creating})
        if self._creating.exception() is not None:
            return  # there never was one
        self.container_id = self._creating.result()
        try:
            await self._engine.remove(self.container_id)
        except WorkerError as error:
            # An engine that does not answer keeps it for now. It removes it when it notices that the connection is
            # closed, with which the agent ends; the reaper removes what it keeps all the same.
            _log.warning("container_not_removed", worker=self.name, error=str(error))
        finally:
            self.ended = True
            await self._close_connection()

    async def _close_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
        elif self._attaching is not None:
            # Whoever waited for it was cancelled.
            await asyncio.wait({self._attaching})
            if self._attaching.exception() is None:
                self._attaching.result().close()

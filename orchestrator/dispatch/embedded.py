"""The sandbox server that a run starts for itself, as a source of endpoints: waited for, revived, asked to stop.

There is one way to a server, gRPC, whether it is a child or a fleet. The process itself is in `child`.
"""

from __future__ import annotations

import asyncio
from signal import SIGKILL
from typing import TYPE_CHECKING

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from orchestrator.dispatch.endpoints import Endpoint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.dispatch.child import Child

_FAST_FAILURES = 5
"""How often in a row the server may be lost without having answered anything."""
_POLL_S = 0.005
"""A look for the socket takes 30 µs; samples wait for what comes after it."""
_HEALTH_TIMEOUT_S = 5.0


class EmbeddedServer:
    """Waits for a run's own sandbox server, and restarts it when it dies.

    Args:
        child: Its process, started or not. Whoever made it ends it.
        start_timeout_s: How long it may take until it serves: workers start and import their libraries.
    """

    def __init__(self, child: Child, start_timeout_s: float = 120.0) -> None:
        self._child = child
        self._start_timeout_s = start_timeout_s

    async def open(self) -> Sequence[Endpoint]:
        """Starts the server, unless that was done before, and waits until it serves."""
        if self._child.process_id is None:
            self._child.start()
        endpoint = Endpoint("embedded", f"unix:{self._child.socket}")
        await self._until_serving(endpoint)
        return [endpoint]

    async def revive(self, endpoint: Endpoint, failures: int, reason: str) -> None:
        """Starts the server again; gives up when it keeps dying without having answered anything."""
        if failures >= _FAST_FAILURES:
            raise self._child.gone(f"was lost {failures} times in a row without an answer ({reason})")
        await self._kill()
        self._child.start()
        await self._until_serving(endpoint)

    async def close(self) -> None:
        """Asks the server to stop. It does so while scores are computed; the child's owner waits for it."""
        self._child.ask_to_end()

    async def _until_serving(self, endpoint: Endpoint) -> None:
        """Waits for the health service of a started server to say SERVING."""
        try:
            async with asyncio.timeout(self._start_timeout_s):
                while not await self._is_serving(endpoint):
                    if self._child.exit_code is not None:
                        raise self._child.gone(f"ended with exit code {self._child.exit_code} before it served")
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            await self._kill()
            raise self._child.gone(f"did not serve within {self._start_timeout_s:g} s") from error

    async def _is_serving(self, endpoint: Endpoint) -> bool:
        """Returns whether the server's health service says SERVING."""
        if not self._child.socket.exists():
            return False
        channel = endpoint.channel()
        try:
            answer = await health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=_HEALTH_TIMEOUT_S
            )
        except grpc.aio.AioRpcError:
            return False  # not yet listening; the process and the clock bound how often this is asked
        finally:
            await channel.close()
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def _kill(self) -> None:
        """Ends the process, without holding up whatever else the run does meanwhile."""
        await asyncio.to_thread(self._child.end, SIGKILL)

"""The server: listens, drains, stops.

Belongs here: what wires the parts of serving together. What a call does is in `service`, when the server starts
and ends in `life`.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import TYPE_CHECKING

import grpc.aio
import structlog
from cupel_client.gen import sandbox_service_pb2 as pb
from cupel_client.gen import sandbox_service_pb2_grpc as pb_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from sandbox_server.addresses import Address, parse_address
from sandbox_server.errors import ListenError
from sandbox_server.interceptors import ErrorStatusInterceptor
from sandbox_server.judging import Judging
from sandbox_server.screener import Screener
from sandbox_server.service import SandboxService
from sandbox_server.slots import Slots
from sandbox_server.wire import Rules

if TYPE_CHECKING:
    from datetime import timedelta

    from sandbox_server.config import Settings
    from sandbox_server.runtimes.base import Runtime

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["SandboxService"].full_name
_MAXIMUM_MESSAGE_BYTES = 8 << 20
_WATCH_S = 0.5
_CLOSE_GRACE_S = 0.5
_ENDING_S = 15.0

_log = structlog.get_logger(__name__)


def rules_of(settings: Settings, runtime: Runtime) -> Rules:
    """Returns what samples must keep to."""
    return Rules(
        environments=lambda: runtime.describe()[0],
        default_environment=settings.environment,
        default_limits=settings.default_limits.limits(),
        maximum_limits=settings.maximum_limits.limits(),
        maximum_source_bytes=settings.maximum_source_bytes,
        maximum_sample_bytes=settings.maximum_sample_bytes,
        isolations=runtime.isolations,
    )


class Server:
    """A sandbox server around a started runtime.

    Args:
        settings: Its configuration.
        runtime: What runs samples.
    """

    def __init__(self, settings: Settings, runtime: Runtime) -> None:
        self._settings = settings
        self._runtime = runtime
        self._screener = Screener(runtime, environment=settings.environment)
        slots = Slots(settings.slots, settings.cells)
        judging = Judging(runtime, self._screener, slots)
        self.service = SandboxService(runtime, self._screener, judging, rules_of(settings, runtime), slots)
        self._health = HealthServicer()
        self._grpc = grpc.aio.server(
            interceptors=[ErrorStatusInterceptor()],
            options=[
                ("grpc.max_receive_message_length", _MAXIMUM_MESSAGE_BYTES),
                ("grpc.max_send_message_length", _MAXIMUM_MESSAGE_BYTES),
                # Two servers on one port would share its samples without knowing of each other.
                ("grpc.so_reuseport", 0),
            ],
        )
        pb_grpc.add_SandboxServiceServicer_to_server(self.service, self._grpc)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        names = (SERVICE_NAME, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name)
        reflection.enable_server_reflection((*names, reflection.SERVICE_NAME), self._grpc)
        self._watching: asyncio.Task[None] | None = None
        self._draining = False
        self._sockets: list[tuple[str, int]] = []

    async def listen(self) -> tuple[str, ...]:
        """Listens, and returns the addresses as they were bound.

        Raises:
            ListenError: An address is taken, means nothing, or is open to others without leave.
        """
        addresses = [parse_address(text) for text in self._settings.listen]
        for address in addresses:
            if not address.local and not self._settings.insecure_listen:
                raise ListenError(
                    f"{address.text} can be reached from other machines, and there is no authentication yet: "
                    "whoever reaches it runs programs here. Listen on 127.0.0.1 or unix:PATH, or say "
                    "--insecure-listen where the network itself keeps others out"
                )
        bound = tuple(self._bind(address) for address in addresses)
        await self._grpc.start()
        await self._report_health()
        self._watching = asyncio.create_task(self._watch(), name="health")
        return bound

    async def drain(self, grace: timedelta) -> None:
        """Takes no more samples and waits for those in flight, at most for a grace."""
        self._draining = True
        await self._report_health()
        left = await self.service.drain(grace)
        _log.info("drained", left=left)

    async def stop(self) -> None:
        """Kills whatever still runs, and ends."""
        if self._watching is not None:
            self._watching.cancel()
        await self._grpc.stop(_CLOSE_GRACE_S if not self.service.streams else None)
        try:
            async with asyncio.timeout(_ENDING_S):
                await self.service.ended()
        except TimeoutError:
            _log.error("calls_left", in_flight=self.service.in_flight)
        self._screener.close()
        for path, inode in self._sockets:
            # Another server may listen there by now.
            with suppress(OSError):
                if os.stat(path).st_ino == inode:  # noqa: PTH116 -- a socket is no file to open
                    os.unlink(path)  # noqa: PTH108 -- as above

    def _bind(self, address: Address) -> str:
        # Nobody but its owner may connect to the socket, from the moment on in which it exists.
        mask = os.umask(0o177) if address.unix_path else None
        try:
            port = self._grpc.add_insecure_port(address.text)
        except RuntimeError as error:
            raise ListenError(
                f"cannot listen on {address.text}: the address is taken or not this machine's ({error})"
            ) from error
        finally:
            if mask is not None:
                os.umask(mask)
        if address.unix_path:
            self._sockets.append((address.unix_path, os.stat(address.unix_path).st_ino))  # noqa: PTH116 -- see stop
        return address.with_port(port)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_S)
            await self._report_health()

    async def _report_health(self) -> None:
        serving = self._runtime.serving and not self._draining
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", SERVICE_NAME):
            await self._health.set(name, status)

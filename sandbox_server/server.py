"""The server's life: start, listen, serve, drain, stop.

Belongs here: what wires the parts together, and signals. What a call does is in `service`.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
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
from sandbox_server.lifeline import die_with_parent
from sandbox_server.runtimes.choice import runtime_of
from sandbox_server.screener import Screener
from sandbox_server.service import SandboxService
from sandbox_server.slots import Slots
from sandbox_server.wire import Rules

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

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


@asynccontextmanager
async def running(settings: Settings, runtime: Runtime) -> AsyncIterator[tuple[Server, tuple[str, ...]]]:
    """Runs a server on a runtime for the length of a block; yields it and its addresses.

    Raises:
        ListenError: It cannot listen.
        WallMissingError: A required wall does not stand.
        WorkerStartError: The runtime did not come up.
    """
    server: Server | None = None
    try:
        await runtime.start()
        server = Server(settings, runtime)
        yield server, await server.listen()
    finally:
        if server is not None:
            await server.stop()
        await runtime.stop()


async def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serves until a signal: the first one drains, the second one stops at once.

    Args:
        settings: The configuration.
        announce: Called with one line when the server is ready.

    Raises:
        ListenError: It cannot listen.
        WallMissingError: A required wall does not stand.
        WorkerStartError: A worker did not come up.
    """
    stopping, at_once = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    life: asyncio.Task[None] | None = None
    ready = False

    def on_signal() -> None:
        (at_once if stopping.is_set() else stopping).set()
        if life is not None and not ready:
            life.cancel()

    def on_ready(line: str) -> None:
        nonlocal ready
        ready = True
        announce(line)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    watching = asyncio.create_task(_watch_parent(on_signal)) if settings.die_with_parent else None
    life = asyncio.create_task(_live(settings, on_ready, stopping, at_once))
    try:
        await life
    except asyncio.CancelledError:
        # Asked to stop before it was ready: nothing to drain.
        if not stopping.is_set():
            raise
    finally:
        if watching is not None:
            watching.cancel()


async def _live(
    settings: Settings,
    announce: Callable[[str], None],
    stopping: asyncio.Event,
    at_once: asyncio.Event,
) -> None:
    runtime = await runtime_of(settings)
    async with running(settings, runtime) as (server, addresses):
        announce(ready_line(addresses, settings, runtime))
        await stopping.wait()
        grace = timedelta(seconds=settings.drain_grace_s)
        _log.info("draining", in_flight=server.service.in_flight, grace_s=settings.drain_grace_s)
        draining = asyncio.create_task(server.drain(grace))
        hurry = asyncio.create_task(at_once.wait())
        await asyncio.wait([draining, hurry], return_when=asyncio.FIRST_COMPLETED)
        for task in (draining, hurry):
            task.cancel()


def ready_line(addresses: Sequence[str], settings: Settings, runtime: Runtime) -> str:
    """Returns the line that tells a person that the server is ready, and what it lacks."""
    _, walls = runtime.describe()
    missing = [wall.name for wall in walls if not wall.standing]
    state = f"MISSING {', '.join(missing)}" if missing else "all"
    return (
        f"listening on {', '.join(addresses)}, {settings.slots} slots, "
        f"environment {settings.environment}, walls: {state}"
    )


async def _watch_parent(on_end: Callable[[], None]) -> None:
    parent = os.getppid()
    die_with_parent(signal.SIGTERM)
    # The kernel's signal is tied to a thread of the parent, and a parent that ended before sends none.
    while os.getppid() == parent:  # noqa: ASYNC110 -- nothing but the process id tells of it
        await asyncio.sleep(_WATCH_S)
    on_end()

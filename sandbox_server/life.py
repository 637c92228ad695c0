"""The server's life: from its start, by way of serving and draining, to its end; and signals.

Workers are started before gRPC and all that a call needs is imported: they boot on another core meanwhile. So
nothing here imports `server`, but the function that does it in a thread.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from sandbox_server.lifeline import PARENT, die_with_parent
from sandbox_server.runtimes.choice import runtime_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from sandbox_server.config import Settings
    from sandbox_server.runtimes.base import Runtime
    from sandbox_server.server import Server

_WATCH_S = 0.5

_log = structlog.get_logger(__name__)


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
        server = (await _started(runtime))(settings, runtime)
        yield server, await server.listen()
    finally:
        if server is not None:
            await server.stop()
        await runtime.stop()


async def _started(runtime: Runtime) -> type[Server]:
    """Starts a runtime and imports the server meanwhile; returns the server's class.

    Raises:
        WallMissingError: A required wall does not stand.
        WorkerStartError: The runtime did not come up.
    """
    starting = asyncio.create_task(runtime.start())
    try:
        # In a thread: the runtime has its say while the import goes on.
        module = await asyncio.to_thread(importlib.import_module, "sandbox_server.server")
        await starting
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
    server: type[Server] = module.Server
    return server


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
    environments, walls = runtime.describe()
    names = ", ".join(environment.name for environment in environments)
    missing = [wall.name for wall in walls if not wall.standing]
    state = f"MISSING {', '.join(missing)}" if missing else "all"
    return (
        f"listening on {', '.join(addresses)}, {settings.slots} slots, "
        f"runtime {runtime.name}, environments: {names}, walls: {state}"
    )


async def _watch_parent(on_end: Callable[[], None]) -> None:
    die_with_parent(signal.SIGTERM)
    # The kernel's signal is tied to a thread of the parent, and a parent that ended before sends none.
    while os.getppid() == PARENT:  # noqa: ASYNC110 -- nothing but the process id tells of it
        await asyncio.sleep(_WATCH_S)
    on_end()

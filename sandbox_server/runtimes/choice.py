"""Which runtime a configuration asks for, and what `auto` comes to on this machine."""

from __future__ import annotations

import asyncio
import importlib
import os
from typing import TYPE_CHECKING

import structlog

from sandbox_server.errors import WorkerError
from sandbox_server.runtimes.agent_link import Hello
from sandbox_server.runtimes.local import LocalOptions, LocalRuntime
from sandbox_server.runtimes.pool import PoolPolicy
from sandbox_server.runtimes.simulated import SimulatedRuntime

if TYPE_CHECKING:
    from sandbox_server.config import Settings
    from sandbox_server.runtimes.base import Runtime
    from sandbox_server.runtimes.docker.runtime import DockerRuntime

_SOCKET = "/var/run/docker.sock"
_LOOK_S = 15.0
"""How long `auto` waits for an engine, in seconds."""

_log = structlog.get_logger(__name__)


async def runtime_of(settings: Settings) -> Runtime:
    """Returns the runtime that settings ask for, not started.

    `auto` is docker where an engine answers that has fitting images, else local; a Python that was named is for the
    local one. Which one it became is logged with the reason.
    """
    if settings.runtime == "simulated":
        return SimulatedRuntime(environment=settings.environment)
    if settings.runtime == "docker":
        return _docker(settings)
    if settings.runtime == "auto" and (docker := await _docker_if_fit(settings)) is not None:
        return docker
    return LocalRuntime(local_options(settings))


def local_options(settings: Settings) -> LocalOptions:
    """Returns how the local runtime's workers are to be."""
    return LocalOptions(
        # Not resolved: the link is what tells Python that it lives in a virtual environment.
        python=settings.python.absolute() if settings.python.parent.name else settings.python,
        environment=settings.environment,
        cells=settings.cells,
        profiles=settings.profiles if settings.preload else {},
        required_walls=settings.required_walls,
        allow_weak_isolation=settings.allow_weak_isolation,
        visible_paths=settings.visible_paths,
        hidden_paths=settings.hidden_paths,
        cells_per_worker=settings.cells_per_worker,
        worker_lifetime_s=settings.worker_lifetime_s,
    )


async def _docker_if_fit(settings: Settings) -> DockerRuntime | None:
    if "python" in settings.model_fields_set:
        _log.info("runtime_chosen", runtime="local", reason="a Python was named")
        return None
    if not os.path.exists(_SOCKET) and "DOCKER_HOST" not in os.environ:  # noqa: ASYNC240, PTH110 -- one look, no waiting
        _log.info("runtime_chosen", runtime="local", reason=f"there is no {_SOCKET} and no DOCKER_HOST")
        return None
    runtime = _docker(settings)
    try:
        async with asyncio.timeout(_LOOK_S):
            await runtime.look()
    except (WorkerError, TimeoutError) as error:
        reason = str(error) or f"the engine did not answer within {_LOOK_S:g} s"
        _log.info("runtime_chosen", runtime="local", reason=reason)
        await runtime.stop()
        return None
    _log.info("runtime_chosen", runtime="docker", reason="an engine answers that has fitting images")
    return runtime


def _docker(settings: Settings) -> DockerRuntime:
    # The SDK takes a quarter of a second to import, which a server without Docker need not wait for.
    module = importlib.import_module("sandbox_server.runtimes.docker.runtime")
    agent_digest = importlib.import_module("sandbox_server.images.digest").agent_digest
    runtime: DockerRuntime = module.DockerRuntime(
        module.DockerOptions(
            agent_digest=agent_digest(),
            environments=settings.docker_environments,
            preload=settings.preload,
            maximum_limits=settings.maximum_limits.limits(),
            policy=PoolPolicy(
                hello=Hello(cells=settings.cells, allow_weak=settings.allow_weak_isolation),
                required_walls=settings.required_walls,
                cells_per_worker=settings.cells_per_worker,
                worker_lifetime_s=settings.worker_lifetime_s,
            ),
            oci_runtime=settings.docker_oci_runtime,
            memory_bytes=settings.docker_memory_bytes,
            processes_per_cell=settings.maximum_limits.processes,
            single_oci_runtime=settings.container_oci_runtime,
            single_memory_bytes=settings.container_memory_bytes,
            warm=settings.warm_containers,
        )
    )
    return runtime

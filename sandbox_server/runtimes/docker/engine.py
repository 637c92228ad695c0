"""Docker, as far as workers need it. The only module that imports its SDK, beside `building`.

Every call goes through a thread of its own: the SDK blocks, and an engine under load takes seconds. What the engine
refuses comes out as the errors of this project, with what to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import docker
import docker.errors
import requests.exceptions

from sandbox_server.errors import EngineUnavailableError, ImageError, WorkerStartError
from sandbox_server.runtimes.docker import labels
from sandbox_server.runtimes.docker.attach import bridged

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from sandbox_server.runtimes.docker.hardening import Container

_Result = TypeVar("_Result")
_THREADS = 16
_TIMEOUT_S = 60.0
_SOME_VERSION = "1.41"
_GONE_TRIES = 100
_GONE_PAUSE_S = 0.05
_NO_SPACE = ("no space left on device", "disk quota exceeded")


@dataclass(frozen=True, slots=True)
class Image:
    """An image of an environment."""

    reference: str
    """A tag."""
    digest: str
    labels: Mapping[str, str]
    created: str
    size: int


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What an engine says of itself."""

    version: str
    memory_bytes: int
    cpus: int
    runtimes: frozenset[str]
    """The OCI runtimes it knows."""
    apparmor: bool


@dataclass(frozen=True, slots=True)
class Listed:
    """A container of Cupel's, as a list of containers shows it."""

    container_id: str
    labels: Mapping[str, str]
    state: str
    created_s: float
    """When, in seconds since the epoch."""


class Engine:
    """One Docker engine, local or remote: the one that DOCKER_HOST and its kin name.

    Args:
        timeout_s: How long a call may take.
    """

    def __init__(self, timeout_s: float = _TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._client: docker.DockerClient | None = None
        self._connecting = threading.Lock()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="docker")

    async def facts(self) -> EngineFacts:
        """Returns what it says of itself.

        Raises:
            EngineUnavailableError: It does not answer.
        """
        info = await self._do(lambda client: client.info(), "ask the engine")
        security = [str(option) for option in info.get("SecurityOptions") or ()]
        return EngineFacts(
            version=str(info.get("ServerVersion", "")),
            memory_bytes=int(info.get("MemTotal", 0)),
            cpus=int(info.get("NCPU", 1)),
            runtimes=frozenset(info.get("Runtimes") or ()),
            apparmor=any(option.startswith("name=apparmor") for option in security),
        )

    async def images(self) -> list[Image]:
        """Returns the images of environments, the newest first; one that lost its tag was replaced or removed.

        Raises:
            EngineUnavailableError: It does not answer.
        """
        found = await self._do(
            lambda client: [
                (str(image.id), image.tags, image.labels, image.attrs)
                for image in client.images.list(filters={"label": labels.ENVIRONMENT})
                if image.tags
            ],
            "list images",
        )
        images = [
            Image(tags[0], digest, dict(marks), str(more.get("Created", "")), int(more.get("Size", 0)))
            for digest, tags, marks, more in found
        ]
        return sorted(images, key=lambda image: image.created, reverse=True)

    async def create(self, container: Container) -> str:
        """Creates a container and returns its id.

        Raises:
            EngineUnavailableError: It does not answer.
            ImageError: It does not have the image.
            WorkerStartError: It refuses.
        """

        def create(client: docker.DockerClient) -> str:
            api = client.api
            host_config = {**api.create_host_config(**container.host_config), **container.bare}
            made = api.create_container(**container.config, host_config=host_config)
            return str(made["Id"])

        return await self._do(create, f"create a container of {container.config['image']}")

    async def attach(self, container_id: str) -> socket.socket:
        """Returns the byte stream of a container that was not started yet: what Docker calls attaching.

        Raises:
            EngineUnavailableError: It does not answer.
            WorkerStartError: It refuses.
        """

        def attach(client: docker.DockerClient) -> socket.socket:
            wanted = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            return bridged(client.api.attach_socket(container_id, params=wanted))

        return await self._do(attach, "attach to a container")

    async def start(self, container_id: str) -> None:
        """Starts a container.

        Raises:
            EngineUnavailableError: It does not answer.
            WorkerStartError: It refuses.
        """
        await self._do(lambda client: client.api.start(container_id), "start a container")

    async def remove(self, container_id: str) -> None:
        """Kills and removes a container with its anonymous volumes; nothing of it is left when this returns.

        Raises:
            EngineUnavailableError: It does not answer.
            WorkerStartError: It refuses.
        """
        for _ in range(_GONE_TRIES):
            if await self._do(functools.partial(_remove, container_id=container_id), "remove a container"):
                return
            await asyncio.sleep(_GONE_PAUSE_S)
        raise WorkerStartError(f"the container {container_id[:12]} is still there; `docker rm -f` may tell why")

    async def containers(self) -> list[Listed]:
        """Returns all containers of Cupel's, of this server and of others, running or not.

        Raises:
            EngineUnavailableError: It does not answer.
        """
        found = await self._do(
            lambda client: client.api.containers(all=True, filters={"label": labels.WORKER}), "list containers"
        )
        return [
            Listed(one["Id"], one.get("Labels") or {}, str(one.get("State", "")), float(one.get("Created", 0)))
            for one in found
        ]

    async def close(self) -> None:
        """Closes the connections to it."""
        client, self._client = self._client, None
        if client is not None:
            await asyncio.get_running_loop().run_in_executor(self._threads, client.close)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _do(self, action: Callable[[docker.DockerClient], _Result], what: str) -> _Result:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._call, action, what)

    def _connect(self) -> docker.DockerClient:
        # Several threads may come here at once. None waits for another: an engine that is silent would cost the last
        # one the patience of all.
        client = _client(int(self._timeout_s))
        with self._connecting:
            if self._client is None:
                self._client = client
            kept = self._client
        if kept is not client:
            client.close()
        return kept

    def _call(self, action: Callable[[docker.DockerClient], _Result], what: str) -> _Result:
        client = self._client
        try:
            if client is None:
                client = self._connect()
            return action(client)
        except docker.errors.ImageNotFound as error:
            raise ImageError(f"cannot {what}: the engine does not have it; `cupel-sandbox images build`") from error
        except docker.errors.APIError as error:
            words = str(error.explanation or error)
            if any(sign in words.lower() for sign in _NO_SPACE):
                # Nothing is wrong with the worker, and there may be room again.
                raise EngineUnavailableError(
                    f"cannot {what}: the engine's disk is full ({words}). `docker system df` tells of what, "
                    "`docker system prune` frees some; nothing has to be restarted"
                ) from error
            raise WorkerStartError(f"cannot {what}: the engine says: {words}") from error
        except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as error:
            # What could not be reached once may have come back at another address (a new socket). Other threads may
            # use the same client, or have made a new one already.
            if self._client is client:
                self._client = None
            if client is not None:
                with contextlib.suppress(Exception):
                    client.close()
            raise EngineUnavailableError(
                f"cannot {what}: no Docker engine answers ({_first_line(error)}). "
                "Is it running, and is DOCKER_HOST right?"
            ) from error


def _client(timeout_s: int) -> docker.DockerClient:
    """Connects as the DOCKER_ variables say, and as they alone say.

    requests would let REQUESTS_CA_BUNDLE replace the certificates of DOCKER_CERT_PATH, and proxies come between.
    """
    asking = docker.from_env(timeout=timeout_s, version=_SOME_VERSION)  # which keeps it from asking by itself
    asking.api.trust_env = False
    try:
        version = str(asking.api.version(api_version=False)["ApiVersion"])
    finally:
        asking.close()
    client = docker.from_env(timeout=timeout_s, version=version)
    client.api.trust_env = False
    return client


def _remove(client: docker.DockerClient, container_id: str) -> bool:
    """Asks for a container's removal; returns whether it is gone."""
    try:
        client.api.remove_container(container_id, force=True, v=True)
    except docker.errors.NotFound:
        return True
    except docker.errors.APIError as error:
        if error.status_code != requests.codes.conflict:
            raise
    return False  # asked again, it is not found once it is gone


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__

"""The `docker` runtime: which containers there are, and which one a sample goes to."""

from __future__ import annotations

import asyncio
import weakref
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

from sandbox_server.environments import Profiles
from sandbox_server.errors import ImageError, WorkerError, WorkerStartError
from sandbox_server.images.definition import parse_json
from sandbox_server.images.errors import DefinitionError
from sandbox_server.model import Isolation, Limits
from sandbox_server.runtimes.docker import labels
from sandbox_server.runtimes.docker.container import AgentContainer
from sandbox_server.runtimes.docker.engine import Engine
from sandbox_server.runtimes.docker.hardening import Shape, worker_container
from sandbox_server.runtimes.docker.reaper import Owner, Reaper
from sandbox_server.runtimes.docker.single_use import SingleUsePool
from sandbox_server.runtimes.pool import PoolPolicy, WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sandbox_server.images.definition import Definition
    from sandbox_server.model import Environment, Facts, Sample, SyntaxFault, Wall
    from sandbox_server.runtimes.base import OnActivity
    from sandbox_server.runtimes.docker.engine import EngineFacts, Image
    from sandbox_server.runtimes.facts import Ready
    from sandbox_server.runtimes.worker import Worker

_REAP_EVERY_S = 60.0
_HEADROOM_PROCESSES = 256
_MEMORY_SHARE = 0.8

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DockerOptions:
    """How the docker runtime's workers are to be."""

    agent_digest: str
    """What an image's agent must be, for it and this server to understand each other."""
    environments: tuple[str, ...] = ()
    """Which to serve; without any, all that the engine has images of."""
    policy: PoolPolicy = field(default_factory=PoolPolicy)
    maximum_limits: Limits = field(default_factory=Limits)
    """What an environment's own default limits are held to."""
    preload: bool = True
    """Whether zygotes import what an image's profiles say."""
    oci_runtime: str = ""
    """What the engine starts workers with; empty is its default."""
    memory_bytes: int = 0
    """Memory of a worker's container; 0: four fifths of the engine's machine."""
    processes_per_cell: int = 1024
    single_oci_runtime: str = ""
    """What the engine starts containers with that are for one sample; empty is its default."""
    single_memory_bytes: int = 0
    """Memory of such a container; 0: as a worker's."""
    warm: int = 2
    """How many such containers of an environment are kept ready, once a sample has asked for one."""
    starting: int = 2
    """How many environments are started at once."""


@dataclass(frozen=True, slots=True)
class _Place:
    """An environment and what runs its samples."""

    image: Image
    profiles: Profiles
    default_limits: Mapping[str, Any]
    workers: WorkerPool
    single: SingleUsePool


class DockerRuntime:
    """Runs samples in containers.

    Args:
        options: How its workers are to be.
        engine: The engine; by default the one that DOCKER_HOST names, or this machine's.
    """

    name = "docker"
    isolations = frozenset({Isolation.CELL, Isolation.CONTAINER})

    def __init__(self, options: DockerOptions, engine: Engine | None = None) -> None:
        self._options = options
        self._engine = engine if engine is not None else Engine()
        self._owner = Owner.this_process().label()
        self._places: dict[str, _Place] = {}
        self._containers: weakref.WeakSet[AgentContainer] = weakref.WeakSet()
        self._reaper = Reaper(self._engine, self._owner, self._held)
        self._reaping: asyncio.Task[None] | None = None
        self._stopping = False
        self._described: list[Ready | None] = []
        self._description: tuple[Sequence[Environment], Sequence[Wall]] = ((), ())

    @property
    def serving(self) -> bool:
        """Whether samples of some environment can be run, now or after a restart that is under way."""
        return not self._stopping and any(one.workers.serving for one in self._places.values())

    @property
    def container_ids(self) -> tuple[str, ...]:
        """The ids of the workers' containers that live."""
        return tuple(
            worker.container_id
            for place in self._places.values()
            for worker in place.workers.workers
            if isinstance(worker, AgentContainer)
        )

    async def look(self) -> None:
        """Looks whether samples could be run, starting nothing.

        Raises:
            EngineUnavailableError: The engine does not answer.
            ImageError: There is no image, or one that does not fit.
        """
        for image in chosen(await self._engine.images(), self._options).values():
            definition_of(image)

    async def start(self) -> None:
        """Removes what dead servers left, and starts a worker for each environment.

        Raises:
            EngineUnavailableError: The engine does not answer.
            ImageError: There is no image, or one that does not fit.
            WallMissingError: A required wall does not stand.
            WorkerStartError: A worker did not come up.
        """
        facts = await self._engine.facts()
        self._check_oci_runtimes(facts)
        await self._reaper.reap()
        images = chosen(await self._engine.images(), self._options)
        places = {name: self._place(image, facts) for name, image in images.items()}
        gate = asyncio.Semaphore(self._options.starting)

        async def start(place: _Place) -> None:
            async with gate:
                await place.workers.start()

        self._places = places
        ended = await asyncio.gather(*map(start, places.values()), return_exceptions=True)
        for failure in ended:
            if failure is not None:
                raise failure
        self._reaping = asyncio.create_task(self._reap_for_ever(), name="reaper")

    async def run(self, sample: Sample, on_activity: OnActivity | None = None) -> Facts:
        """Runs a sample in a cell of its own; with `Isolation.CONTAINER` in a container of its own, too.

        Raises:
            WorkerLostError: The worker died under it, or there is none any more.
        """
        place = self._places[sample.environment]
        if sample.isolation is Isolation.CONTAINER:
            return await place.single.run(sample, on_activity)
        async with place.workers.worker() as worker:
            profile = place.profiles.choose(sample.task, worker.ready.profiles)
            return await worker.link.run(sample, profile, on_activity)

    async def parse(self, source: str, environment: str) -> SyntaxFault | None:
        """Parses source with an environment's Python.

        Raises:
            WorkerLostError: The worker died under it, or there is none any more.
        """
        async with self._places[environment].workers.worker(cell=False) as worker:
            return await worker.link.parse(source)

    def describe(self) -> tuple[Sequence[Environment], Sequence[Wall]]:
        """Returns the environments, and the walls of their workers: one stands if it stands in all."""
        readies = [place.workers.ready for place in self._places.values()]
        if readies == self._described:  # asked for by each sample, and new with a new worker only
            return self._description
        environments: list[Environment] = []
        walls: dict[str, Wall] = {}
        for (name, place), ready in zip(self._places.items(), readies, strict=True):
            if ready is None:
                continue
            known = ready.environment(name)
            environments.append(replace(known, digest=place.image.digest, default_limits=place.default_limits))
            for wall in ready.walls:
                if not wall.standing or wall.name not in walls:
                    walls[wall.name] = wall
        self._described, self._description = readies, (tuple(environments), tuple(walls.values()))
        return self._description

    async def stop(self) -> None:
        """Kills every cell and removes every container."""
        self._stopping = True
        if self._reaping is not None:
            self._reaping.cancel()
            await asyncio.gather(self._reaping, return_exceptions=True)
        places = [*self._places.values()]
        await asyncio.gather(*(one.workers.stop() for one in places), *(one.single.stop() for one in places))
        await self._engine.close()

    def _place(self, image: Image, facts: EngineFacts) -> _Place:
        options = self._options
        definition = definition_of(image)
        profiles: Mapping[str, Sequence[str]] = definition.profiles if options.preload else {}
        cells = options.policy.hello.cells
        memory = options.memory_bytes or int(facts.memory_bytes * _MEMORY_SHARE)
        many = Shape("cells", memory, cells * options.processes_per_cell + _HEADROOM_PROCESSES, options.oci_runtime)
        one = Shape(
            "single-use",
            options.single_memory_bytes or memory,
            options.processes_per_cell + _HEADROOM_PROCESSES,
            options.single_oci_runtime,
        )

        def launcher(shape: Shape) -> Any:
            container = worker_container(image.digest, definition.interpreter, self._owner, shape, facts)

            def launch(
                *, on_anomaly: Callable[[Worker, str], None], on_lost: Callable[[Worker, str], None]
            ) -> AgentContainer:
                worker = AgentContainer(self._engine, container, on_anomaly=on_anomaly, on_lost=on_lost)
                self._containers.add(worker)
                return worker

            return launch

        policy = replace(options.policy, hello=replace(options.policy.hello, profiles=profiles))
        single = replace(options.policy, hello=replace(options.policy.hello, profiles={}, cells=1))
        return _Place(
            image,
            Profiles(profiles),
            default_limits(definition, options.maximum_limits),
            WorkerPool(launcher(many), policy),
            SingleUsePool(launcher(one), single, options.warm),
        )

    def _check_oci_runtimes(self, facts: EngineFacts) -> None:
        for name in (self._options.oci_runtime, self._options.single_oci_runtime):
            if name and name not in facts.runtimes:
                known = ", ".join(sorted(facts.runtimes))
                raise WorkerStartError(f"the engine has no OCI runtime {name!r}; it has {known}")

    def _held(self) -> set[str]:
        return {one.container_id for one in self._containers if not one.ended}

    async def _reap_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_REAP_EVERY_S)
            try:
                await self._reaper.reap()
            except WorkerError as error:
                _log.warning("not_reaped", error=str(error))


def chosen(images: Sequence[Image], options: DockerOptions) -> dict[str, Image]:
    """Returns the image of each environment to serve: the newest of its name.

    Where no environment was named, those whose image holds another agent are left out, and the log tells of them.

    Raises:
        ImageError: One that was named is missing or holds another agent, or there is none to serve.
    """
    newest: dict[str, Image] = {}
    for image in images:
        newest.setdefault(image.labels[labels.ENVIRONMENT], image)
    if not newest:
        raise ImageError("the engine has no image of an environment; build some with `cupel-sandbox images build`")
    names = options.environments or tuple(sorted(newest))
    missing = [name for name in names if name not in newest]
    if missing:
        raise ImageError(
            f"the engine has no image of {', '.join(missing)}; it has {', '.join(sorted(newest))}. "
            f"`cupel-sandbox images build {' '.join(missing)}` builds what is missing"
        )
    old = [name for name in names if newest[name].labels.get(labels.AGENT) != options.agent_digest]
    if old:
        words = (
            f"the images of {', '.join(old)} hold the agent of another version; "
            f"`cupel-sandbox images build {' '.join(old)}` renews them"
        )
        if options.environments or len(old) == len(names):
            raise ImageError(words)
        _log.warning("images_left_out", reason=words)
    return {name: newest[name] for name in names if name not in old}


def default_limits(definition: Definition, maximum: Limits) -> dict[str, Any]:
    """Returns the limits that an environment's definition gives, by the fields of `Limits`, none above the maximum."""
    limits: dict[str, Any] = {}
    for name, value in definition.limits.items():
        is_time = name.endswith("_s")
        known = name.removesuffix("_s") if is_time else name
        limits[known] = min(timedelta(seconds=value) if is_time else value, getattr(maximum, known))
    return limits


def definition_of(image: Image) -> Definition:
    """Returns what an image says of its environment.

    Raises:
        ImageError: It says nothing that can be used.
    """
    try:
        return parse_json(image.labels.get(labels.DEFINITION, ""), f"label {labels.DEFINITION} of {image.reference}")
    except DefinitionError as error:
        raise ImageError(f"{error}. `cupel-sandbox images build` makes images with a label that can be used") from error

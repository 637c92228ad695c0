"""What each isolation costs: a cell of a worker, a container from the warm pool, one from nothing; each OCI runtime.

Asked of runtimes directly, without gRPC and screening, which cost the same for all.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import structlog

from sandbox_server.errors import WorkerError
from sandbox_server.images.digest import agent_digest
from sandbox_server.model import FunctionCheckTask, Isolation, Limits, Sample
from sandbox_server.runtimes.agent_link import Hello
from sandbox_server.runtimes.docker.runtime import DockerOptions, DockerRuntime
from sandbox_server.runtimes.local import LocalOptions, LocalRuntime
from sandbox_server.runtimes.pool import PoolPolicy
from tests.performance.figures import quantile, table
from tests.performance.machine import load
from tests.performance.original import MeasurementError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sandbox_server.model import Facts
    from sandbox_server.runtimes.base import Runtime

_ENVIRONMENT = "python"
_AT_ONCE = 4
_WARM = 2
_WARM_UP = 10
_MOST_CONTAINERS = 40
_LOOK_S = 0.02
_SAMPLE = Sample(
    sample_id="sample",
    task=FunctionCheckTask("def add(a, b):\n    return a + b\n", "add", "def check(f):\n    assert f(1, 2) == 3\n"),
    limits=Limits(),
)


@dataclass(frozen=True, slots=True)
class _Way:
    """A way to isolate samples."""

    name: str
    build: Callable[[], Runtime]
    environment: str = _ENVIRONMENT
    isolation: Isolation = Isolation.CELL


@dataclass(frozen=True, slots=True)
class _Run:
    """One sample's times, in milliseconds."""

    start: float
    """From asking until its process ran, walls standing; without the way of the request to the agent, 0.1 ms or so."""
    whole: float
    """From asking until its facts were there."""
    cpu: float
    """What the sample's own processes used, their start included, as the outcome reports it."""


def measure(count: int) -> dict[str, Any]:
    """Measures each way that this machine has.

    Args:
        count: How many cells a figure is made of; of containers it is 40 at most.

    Raises:
        MeasurementError: A sample did not pass, or a way that is there does not work.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    try:
        return asyncio.run(_measure(count))
    finally:
        structlog.reset_defaults()


async def _measure(count: int) -> dict[str, Any]:
    containers = min(count, _MOST_CONTAINERS)
    found: dict[str, Any] = {"cells": count, "containers": containers, "load": load(), "runs": []}
    for way in (
        _Way("cell, local", lambda: LocalRuntime(LocalOptions(python=Path(sys.executable), cells=_AT_ONCE)), "local"),
        _Way("cell, docker, runc", functools.partial(_docker, "runc")),
        _Way("cell, docker, runsc", functools.partial(_docker, "runsc", allow_weak=True)),
    ):
        async with _started(way, found) as runtime:
            if runtime is not None:
                await _cells(found, way, runtime, count)
    for oci_runtime in ("runc", "runsc"):
        build = functools.partial(_docker, "runc", single=oci_runtime)
        way = _Way(f"container, {oci_runtime}", build, isolation=Isolation.CONTAINER)
        async with _started(way, found) as runtime:
            if isinstance(runtime, DockerRuntime):
                await _containers(found, way, runtime, containers)
    return found


async def _containers(found: dict[str, Any], way: _Way, runtime: DockerRuntime, count: int) -> None:
    pool = runtime._places[_ENVIRONMENT].single  # how full it is, and a container from nothing, no caller is told

    async def cold() -> _Run:
        asked_ns = time.time_ns()
        worker = await pool._new()
        try:
            return _run(asked_ns, await worker.link.run(replace(_SAMPLE, environment=_ENVIRONMENT), "none"))
        finally:
            pool._throw_away(worker)

    async def warm() -> _Run:
        while len(pool._ready) < _WARM:  # noqa: ASYNC110 -- nobody tells when it is full
            await asyncio.sleep(_LOOK_S)
        return await _ask(runtime, way)

    found["runs"].append(_figures(f"{way.name}, cold", await _repeat(count, 1, cold), None))
    await _ask(runtime, way)  # the first one has the pool filled
    alone = await _repeat(count, 1, warm)
    began = time.perf_counter()
    await _repeat(count, _AT_ONCE, lambda: _ask(runtime, way))
    found["runs"].append(_figures(f"{way.name}, warm", alone, count / (time.perf_counter() - began)))


async def _cells(found: dict[str, Any], way: _Way, runtime: Runtime, count: int) -> None:
    async def ask() -> _Run:
        return await _ask(runtime, way)

    await _repeat(_WARM_UP, 1, ask)
    alone = await _repeat(count, 1, ask)
    began = time.perf_counter()
    await _repeat(count, _AT_ONCE, ask)
    found["runs"].append(_figures(way.name, alone, count / (time.perf_counter() - began)))


@asynccontextmanager
async def _started(way: _Way, found: dict[str, Any]) -> AsyncIterator[Runtime | None]:
    """Starts a way's runtime; None, and a word about it, where this machine does not have it."""
    click.echo(f"isolation: {way.name}")
    runtime = way.build()
    try:
        try:
            await runtime.start()
        except WorkerError as error:
            found.setdefault("left_out", {})[way.name] = str(error).partition("\n")[0]
            yield None
        else:
            yield runtime
    finally:
        await runtime.stop()


def _docker(oci_runtime: str, *, single: str = "", allow_weak: bool = False) -> DockerRuntime:
    policy = PoolPolicy(hello=Hello(cells=_AT_ONCE, allow_weak=allow_weak), fast_failures=1)
    return DockerRuntime(
        DockerOptions(
            agent_digest=agent_digest(),
            environments=(_ENVIRONMENT,),
            policy=policy,
            oci_runtime=oci_runtime,
            single_oci_runtime=single,
            warm=_WARM,
        )
    )


async def _ask(runtime: Runtime, way: _Way) -> _Run:
    asked_ns = time.time_ns()
    sample = replace(_SAMPLE, environment=way.environment, isolation=way.isolation)
    return _run(asked_ns, await runtime.run(sample))


def _run(asked_ns: int, facts: Facts) -> _Run:
    answered_ns = time.time_ns()
    if [result.status.name for result in facts.results] != ["PASSED"] or not facts.timeline.started_ns:
        raise MeasurementError(f"a sample did not pass: {facts}")
    cpu = facts.usage.cpu_user + facts.usage.cpu_system
    return _Run(
        (facts.timeline.started_ns - asked_ns) / 1e6, (answered_ns - asked_ns) / 1e6, cpu.total_seconds() * 1000
    )


async def _repeat(count: int, at_once: int, ask: Callable[[], Awaitable[_Run]]) -> list[_Run]:
    numbers = itertools.count()
    runs: list[_Run] = []

    async def one_after_the_other() -> None:
        while next(numbers) < count:
            runs.append(await ask())

    await asyncio.gather(*(one_after_the_other() for _ in range(at_once)))
    return runs


def _figures(name: str, runs: list[_Run], per_second: float | None) -> dict[str, Any]:
    def shares(values: list[float]) -> dict[str, float]:
        return {"p50": quantile(values, 0.5), "p99": quantile(values, 0.99)}

    return {
        "way": name,
        "start_ms": shares([one.start for one in runs]),
        "whole_ms": shares([one.whole for one in runs]),
        "sample_cpu_ms": sum(one.cpu for one in runs) / len(runs),
        "per_second": per_second,
    }


def tell(found: dict[str, Any]) -> str:
    """Returns what was found, as a table."""
    rows = [
        (
            run["way"],
            *(f"{run[kind][share]:.1f}" for kind in ("start_ms", "whole_ms") for share in ("p50", "p99")),
            f"{run['sample_cpu_ms']:.1f}",
            "" if run["per_second"] is None else f"{run['per_second']:.1f}",
        )
        for run in found["runs"]
    ]
    header = ("ms", "start p50", "p99", "whole p50", "p99", "sample's CPU", f"per s, {_AT_ONCE} at once")
    left_out = [f"left out: {name}: {why}" for name, why in found.get("left_out", {}).items()]
    about = f"{found['cells']} cells, {found['containers']} containers a figure"
    return "\n".join([table(header, rows), about, *left_out])

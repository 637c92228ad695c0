"""What a cell costs, and where its time goes: alone and under load, with and without preloaded libraries."""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import statistics
from typing import TYPE_CHECKING, Any

import click
from cupel_client.gen import sandbox_service_pb2 as pb

from sandbox_server.config import SCIENTIFIC_MODULES
from tests.performance.figures import quantile, table
from tests.performance.machine import load
from tests.performance.processes import RoleTimes
from tests.performance.server import Answer, Site, judge, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

_WARM_UP = 20
_STAGES = ("received", "screened", "placed", "forked", "started", "ended", "answered")
_LEADS_TO = {
    "sent": "the request's way",
    "received": "screen",
    "screened": "queue for a slot",
    "placed": "agent, fork",
    "forked": "walls",
    "started": "load, test, report",
    "ended": "facts, verdict, the answer's way",
}
"""What happens between a stamp and the next one."""


def measure(count: int) -> dict[str, Any]:
    """Measures cells of each profile, one at a time and as many as there are slots.

    Args:
        count: How many cells each figure is made of.

    Raises:
        MeasurementError: A sample did not pass.
    """
    return asyncio.run(_measure(count))


async def _measure(count: int) -> dict[str, Any]:
    found: dict[str, Any] = {"cells": count, "load": load(), "runs": []}
    async with serving() as site:
        (environment,) = site.capabilities.environments
        found["profiles"] = list(environment.preload_profiles)
        found["preloaded"] = [name for name in SCIENTIFIC_MODULES if _is_installed(name)]
        imports = {"none": ""}
        if found["preloaded"]:
            imports["scientific"] = "".join(f"import {name}\n" for name in found["preloaded"])
        for (profile, head), at_once in itertools.product(imports.items(), (1, site.capabilities.slots)):
            click.echo(f"cells: profile {profile}, {at_once} at once")
            found["runs"].append({"profile": profile, "at_once": at_once, **await _run(site, head, at_once, count)})
    return found


async def _run(site: Site, head: str, at_once: int, count: int) -> dict[str, Any]:
    await judge(site, _samples(head, _WARM_UP), at_once, lambda _: None)
    answers: list[Answer] = []
    with RoleTimes(site.process_id) as watched:
        await judge(site, _samples(head, count), at_once, answers.append)
    walls = [answer.wall_ms for answer in answers]
    cpus = [_cpu_ms(answer.outcome.usage) for answer in answers]
    return {
        "wall_ms": {"p50": quantile(walls, 0.5), "p99": quantile(walls, 0.99)},
        "sample_cpu_ms": {"p50": quantile(cpus, 0.5), "p99": quantile(cpus, 0.99)},
        "cpu_ms_by_role": {role: 1000 * seconds / count for role, seconds in watched.seconds.items()},
        "stage_ms": _stages(answers),
    }


def _samples(head: str, count: int) -> Iterator[pb.Sample]:
    task = pb.FunctionCheckTask(
        solution=f"{head}def add(a, b):\n    return a + b\n",
        entry_point="add",
        check="def check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate(-1, 1) == 0\n",
    )
    return (pb.Sample(sample_id=str(number), function_check=task) for number in range(count))


def _cpu_ms(usage: pb.Usage) -> float:
    both = usage.cpu_user.ToTimedelta() + usage.cpu_system.ToTimedelta()
    return both.total_seconds() * 1000


def _stages(answers: list[Answer]) -> dict[str, float]:
    """Returns the median time from each stamp to the next, in milliseconds."""
    stamps = []
    for answer in answers:
        timeline = answer.outcome.timeline
        inner = [getattr(timeline, stage).ToNanoseconds() for stage in _STAGES[:-1]]
        stamps.append([answer.sent_ns, *inner, answer.answered_ns])
    return {
        stage: statistics.median((row[place + 1] - row[place]) / 1e6 for row in stamps)
        for place, stage in enumerate(("sent", *_STAGES[:-1]))
    }


def tell(found: dict[str, Any]) -> str:
    """Returns what was found, as tables."""
    runs = found["runs"]
    rows = [
        (
            f"{run['profile']}, {run['at_once']} at once",
            *(f"{run[kind][share]:.1f}" for kind in ("wall_ms", "sample_cpu_ms") for share in ("p50", "p99")),
            f"{run['cpu_ms_by_role']['cells']:.1f}",
            f"{sum(run['cpu_ms_by_role'].values()):.1f}",
        )
        for run in runs
    ]
    header = ("ms per cell, profile", "wall p50", "p99", "sample's CPU p50", "p99", "cell's CPU", "all CPU")
    ways = [f"{run['profile']}, {run['at_once']}" for run in runs]
    stages = [
        (f"{stage}: {_LEADS_TO[stage]}", *(f"{run['stage_ms'][stage]:.2f}" for run in runs)) for stage in _LEADS_TO
    ]
    return "\n\n".join(
        [
            f"preloaded by the scientific profile: {', '.join(found['preloaded']) or 'nothing is installed'}",
            table(header, rows),
            table(("median ms from a stamp to the next", *ways), stages),
        ]
    )


def _is_installed(name: str) -> bool:
    return importlib.util.find_spec(name.partition(".")[0]) is not None

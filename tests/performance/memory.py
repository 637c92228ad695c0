"""Whether the server's and the agent's memory stays flat over many samples."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click
from cupel_client.gen import sandbox_service_pb2 as pb

from tests.performance.figures import slope, table
from tests.performance.machine import load
from tests.performance.processes import family, resident_kib
from tests.performance.server import Answer, judge, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

_STEPS = 10
_NEVER = str(1 << 30)


def measure(samples: list[pb.FunctionCheckTask], count: int) -> dict[str, Any]:
    """Measures resident memory at each tenth of so many samples: invented outcomes first, then real cells.

    The agent is kept for all of them, where a server would replace it now and then.

    Args:
        samples: What is judged, over and over.
        count: How many samples.

    Raises:
        MeasurementError: A sample did not pass.
    """
    return {
        "samples": count,
        "load": load(),
        "simulated": asyncio.run(_measure("simulated", samples, count)),
        "local": asyncio.run(_measure("local", samples, count)),
    }


async def _measure(runtime: str, tasks: list[pb.FunctionCheckTask], count: int) -> list[dict[str, int]]:
    points: list[dict[str, int]] = []
    variables = {"CUPEL_SANDBOX_PROFILES": "{}", "CUPEL_SANDBOX_CELLS_PER_WORKER": _NEVER}
    async with serving("--runtime", runtime, "--allow-weak-isolation", **variables) as site:
        processes = family(site.process_id)
        done = 0

        def look() -> None:
            point = {"samples": done, "server_kib": resident_kib(site.process_id)}
            if processes.agent:
                point["agent_kib"] = resident_kib(processes.agent[-1])
                point["zygotes_kib"] = sum(map(resident_kib, processes.zygotes))
            points.append(point)
            click.echo(f"memory, {runtime}: {point}")

        def take(_: Answer) -> None:
            nonlocal done
            done += 1
            if done % max(count // _STEPS, 1) == 0:
                look()

        look()
        await judge(site, _samples(tasks, count), 2 * site.capabilities.slots, take)
    return points


def _samples(tasks: list[pb.FunctionCheckTask], count: int) -> Iterator[pb.Sample]:
    return (
        pb.Sample(sample_id=f"sample {number}", function_check=tasks[number % len(tasks)]) for number in range(count)
    )


def tell(found: dict[str, Any]) -> str:
    """Returns what was found, as tables, with the slope after the first tenth: what grows once it is warm."""
    text = []
    for runtime in ("simulated", "local"):
        points = found[runtime]
        kinds = [name for name in points[0] if name != "samples"]
        rows: list[tuple[object, ...]] = [
            (point["samples"], *(f"{point[kind] / 1024:.1f}" for kind in kinds)) for point in points
        ]
        warm = points[1:]
        slopes = [slope([(point["samples"] / 1000, point[kind]) for point in warm]) for kind in kinds]
        rows.append(("KiB per 1,000 samples, once warm", *(f"{one:.1f}" for one in slopes)))
        header = (f"{runtime}: after samples", *(f"{kind.removesuffix('_kib')} MiB" for kind in kinds))
        text.append(table(header, rows))
    return "\n\n".join(text)

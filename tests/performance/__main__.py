"""Measures, prints tables, and writes all figures to `results/bench.json`."""

from __future__ import annotations

import dataclasses
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from cupel_client.gen import sandbox_service_pb2 as pb

from tests.performance import cells, isolation, memory, throughput
from tests.performance.machine import Machine, load
from tests.performance.original import MeasurementError
from tests.performance.samples import read_problems

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data" / "humaneval.jsonl.gz"
SECTIONS = ("throughput", "cells", "memory", "isolation")
_MEMORY_SAMPLES = 20_000


@click.command()
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Rounds of throughput.")
@click.option("--samples", type=click.IntRange(1), help="Samples of a measurement. [default: 1640 of throughput]")
@click.option("--only", type=click.Choice(SECTIONS), multiple=True, help="Measure only this; may be repeated.")
@click.option("--memory", "with_memory", is_flag=True, help="Measure memory too, over 20,000 samples.")
@click.option("--data", type=click.Path(path_type=Path), default=DATA, help="HumanEval's problems.")
@click.option("--alone", is_flag=True, help="Leave HumanEval's own evaluator out.")
@click.option("--out", type=click.Path(path_type=Path), default=ROOT / "results", help="Folder for results.")
def main(
    *, rounds: int, samples: int | None, only: tuple[str, ...], with_memory: bool, data: Path, alone: bool, out: Path
) -> None:
    """Measures how fast Cupel is, what a cell costs, and whether memory stays flat. Nothing fails by a clock."""
    if not data.exists():
        raise click.ClickException(f"{data} is not there; say --data with a copy of HumanEval.jsonl.gz")
    out.mkdir(parents=True, exist_ok=True)
    sections = only or (SECTIONS[:3] if with_memory else SECTIONS[:2])
    measures: dict[str, tuple[Callable[[], dict[str, Any]], Callable[[dict[str, Any]], str]]] = {
        "throughput": (
            lambda: throughput.measure(out, data, samples or 1640, rounds, beside=not alone),
            throughput.tell,
        ),
        "cells": (lambda: cells.measure(samples or 300), cells.tell),
        "isolation": (lambda: isolation.measure(samples or 200), isolation.tell),
        "memory": (lambda: memory.measure(_tasks(data), samples or _MEMORY_SAMPLES), memory.tell),
    }
    machine, busy = Machine.here(), load()
    click.echo(f"{machine}\nload before: {busy[0]:.2f}, {busy[1]} tasks running (this one included)\n")
    found: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": ["python", "-m", "tests.performance", *sys.argv[1:]],
        "machine": dataclasses.asdict(machine),
        "load_before": busy,
    }
    for section in sections:
        measure, tell = measures[section]
        try:
            found[section] = measure()
        except MeasurementError as error:
            raise click.ClickException(f"{section}: {error}") from error
        click.echo(f"\n{tell(found[section])}\n")
        path = out / "bench.json"
        path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    click.echo(f"load after: {load()[0]:.2f}. All figures: {path}")


def _tasks(data: Path) -> list[pb.FunctionCheckTask]:
    """Returns HumanEval's reference solutions as they are judged."""
    return [
        pb.FunctionCheckTask(
            solution=row["prompt"] + row["canonical_solution"], entry_point=row["entry_point"], check=row["test"]
        )
        for row in read_problems(data)
    ]


if __name__ == "__main__":
    main()

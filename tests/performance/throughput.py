"""Throughput of the whole way, beside HumanEval's own evaluator, and CPU time by role."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from tests.performance.figures import spread, table
from tests.performance.machine import load
from tests.performance.original import Cost, MeasurementError, OriginalEvaluator
from tests.performance.processes import ROLES, RoleTimes
from tests.performance.samples import read_problems, write_samples

if TYPE_CHECKING:
    from pathlib import Path


def measure(folder: Path, data: Path, count: int, rounds: int, *, beside: bool) -> dict[str, Any]:
    """Measures throughput in rounds: Cupel, then HumanEval's evaluator, on the same samples.

    Args:
        folder: Where results go.
        data: HumanEval's problems.
        count: How many samples a round has.
        rounds: How many rounds.
        beside: Whether HumanEval's evaluator runs too.

    Raises:
        MeasurementError: One of the two did not pass all samples.
    """
    samples = folder / "samples.jsonl"
    write_samples(read_problems(data), count, samples)
    original = OriginalEvaluator(folder / "bench-venv")
    if beside:
        original.install()
    found: dict[str, Any] = {"samples": count, "rounds": []}
    for number in range(1, rounds + 1):
        busy = load()
        cost, roles = run_cupel(samples, data, folder / "cupel", count)
        one: dict[str, Any] = {
            "load": busy,
            "cupel": {"per_s": count / cost.wall_s, **cost._asdict(), "roles_cpu_s": roles},
        }
        line = f"round {number}: cupel {count / cost.wall_s:.1f} samples/s"
        if beside:
            theirs = original.judge(samples, data, count)
            one["humaneval"] = {"per_s": count / theirs.wall_s, **theirs._asdict()}
            one["ratio"] = theirs.wall_s / cost.wall_s
            line += f", HumanEval's evaluator {count / theirs.wall_s:.1f}, ratio {one['ratio']:.2f}"
        found["rounds"].append(one)
        click.echo(f"{line}; load before {busy[0]:.2f}, {busy[1]} tasks running")
    return found


def run_cupel(samples: Path, data: Path, out: Path, count: int) -> tuple[Cost, dict[str, float]]:
    """Evaluates samples as a user does; returns what it took, from the command to its last file, and by role.

    Raises:
        MeasurementError: It failed, or did not pass them all.
    """
    out.mkdir(exist_ok=True)
    words = ["--dataset", "humaneval", "--data", str(data), "--samples", str(samples), "--out", str(out)]
    began = time.monotonic()
    with (
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "orchestrator",
                "evaluate",
                *words,
                "--runtime",
                "local",
                "--no-resume",
                "--quiet",
                "--json",
            ],
            env={name: value for name, value in os.environ.items() if not name.startswith("CUPEL_")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
        RoleTimes(process.pid) as watched,
    ):
        said, complaint = process.communicate()
    wall_s = time.monotonic() - began
    if process.returncode != 0 or json.loads(said)["verdicts"] != {"PASSED": count}:
        raise MeasurementError(f"cupel did not pass all {count} samples: {said[-500:]}{complaint[-2000:]}")
    for left in out.glob("*.bak*"):  # --no-resume keeps the round before
        left.unlink()
    roles = watched.seconds
    return Cost(wall_s, sum(roles.values())), roles


def tell(found: dict[str, Any]) -> str:
    """Returns what was found, as tables."""
    rounds = found["rounds"]
    names = [name for name in ("cupel", "humaneval") if name in rounds[0]]
    rows = [
        (
            {"cupel": "cupel evaluate, sandboxed", "humaneval": "HumanEval's own, no sandbox"}[name],
            spread([one[name]["per_s"] for one in rounds]),
            spread([one[name]["wall_s"] for one in rounds]),
            spread([one[name]["cpu_s"] for one in rounds]),
            spread([1000 * one[name]["cpu_s"] / found["samples"] for one in rounds], 2),
        )
        for name in names
    ]
    text = [table(("median (range)", "samples/s", "wall s", "CPU s", "CPU ms per sample"), rows)]
    if len(names) > 1:
        text.append(f"ratio of throughputs: {spread([one['ratio'] for one in rounds], 2)}")
    shares = [
        (
            role,
            f"{1000 * statistics.median(one['cupel']['roles_cpu_s'][role] for one in rounds) / found['samples']:.2f}",
        )
        for role in ROLES
    ]
    text.append(table(("CPU time by role, start and end included", "ms per sample"), shares))
    return "\n\n".join(text)

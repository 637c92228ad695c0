"""Runs the contests, prints one table, and keeps all figures in `results/peers.json`."""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from tests.performance.machine import Machine, load
from tests.performance.original import MeasurementError
from tests.performance.peers import table
from tests.performance.peers.contests import CONTESTS, Contest, Result, Site
from tests.performance.peers.installing import ROOT
from tests.performance.peers.verdicts import differences, passes

if TYPE_CHECKING:
    from types import FrameType

DATA = ROOT.parent / "shared" / "data"
_ROUNDS = {"humaneval": 3, "evalplus": 3, "bigcodebench": 1}
"""A round of BigCodeBench takes a quarter of an hour on two cores."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--only", type=click.Choice(tuple(CONTESTS)), multiple=True, help="Run only this; may be repeated.")
@click.option("--rounds", type=click.IntRange(1), help="Rounds of each. [default: 3; of bigcodebench: 1]")
@click.option("--problems", type=click.IntRange(1), help="Only so many problems, spread over the data set.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=DATA,
    help="Folder with humaneval.jsonl.gz, humanevalplus-v0.1.9.jsonl.gz and bigcodebench.jsonl.gz.",
)
@click.option("--note", default="", help="A remark to keep with the figures, such as what else the machine did.")
@click.option("--out", type=click.Path(path_type=Path), default=ROOT / "results", help="Folder for results.")
@click.option("--markdown", is_flag=True, help="Run nothing; print the figures of the last runs as Markdown.")
def main(
    *, only: tuple[str, ...], rounds: int | None, problems: int | None, data: Path, note: str, out: Path, markdown: bool
) -> None:
    """Runs the original evaluators and Cupel on the same samples, in turns, and tells how they compare.

    A contest's figures replace those of its last run in results/peers.json, round by round; those of other contests
    stay. The originals run samples without any sandbox, as they always do: here they only get reference solutions.
    """
    path = out.resolve() / "peers.json"
    contests: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if markdown:
        if not contests:
            raise click.ClickException(f"{path} is not there; run the contests first, without --markdown")
        click.echo(table.markdown(contests))
        return
    signal.signal(signal.SIGTERM, _end)
    site = Site(data.resolve(), path.parent / "peers", problems)
    (site.folder / "logs").mkdir(parents=True, exist_ok=True)
    for name in only or tuple(CONTESTS):
        try:
            contest = CONTESTS[name](site)
            found = _described(contest, rounds or _ROUNDS[name], note)
            click.echo(f"{name}: {contest.title}, {contest.samples} samples; load {load()[0]:.2f}")
            for number in range(1, found["rounds_wanted"] + 1):
                found["rounds"].append(_round(contest, site.folder / "logs", f"{name}-{number}"))
                contests[name] = found
                ordered = {known: contests[known] for known in CONTESTS if known in contests}
                # Complete or as before: a run that is killed here must not cost the figures of earlier ones.
                beside = path.with_suffix(".json.new")
                beside.write_text(json.dumps(ordered, indent=2) + "\n", encoding="utf-8")
                beside.replace(path)
        except MeasurementError as error:
            raise click.ClickException(f"{name}: {error}") from error
    _print({name: contests[name] for name in CONTESTS if name in contests and name in (only or CONTESTS)})
    click.echo(f"\nload after: {load()[0]:.2f}. All figures: {path}; what the commands said: {site.folder / 'logs'}")


def _described(contest: Contest, rounds: int, note: str) -> dict[str, Any]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "arguments": sys.argv[1:],
        "machine": str(Machine.here()),
        "title": contest.title,
        "limits": contest.limits,
        "note": note,
        "problems": contest.problems,
        "samples": contest.samples,
        "contestants": {one.name: one.title for one in contest.contestants},
        "rounds_wanted": rounds,
        "rounds": [],
    }


def _round(contest: Contest, logs: Path, label: str) -> dict[str, Any]:
    """Has every contestant judge all samples once, the original first."""
    found: dict[str, Any] = {}
    original: Result | None = None
    for contestant in contest.contestants:
        click.echo(f"  {time.strftime('%H:%M:%S')} {label}: {contestant.title} ...")
        result = contestant.judge(logs / f"{label}-{contestant.name}.log")
        one = found[contestant.name] = _figures(result)
        if one["passed"] == 0:
            raise MeasurementError(
                f"{contestant.title} passed none of {contest.samples} reference solutions: see {logs}"
            )
        line = f"    {one['wall_s']:.1f} s, results after {one['results_s']:.1f} s, {one['cpu_s']:.1f} s of CPU"
        line += f"; {one['passed']} of {contest.samples} passed; load before {one['load_before']:.2f}"
        if original is None:
            original = result
        else:
            cost = original.cost
            differing = one["differences"] = differences(original.verdicts, result.verdicts)
            line += f"\n    ratio {cost.wall_s / one['wall_s']:.2f}, to results {cost.results_s / one['results_s']:.2f}"
            line += f", of CPU {cost.cpu_s / one['cpu_s']:.2f}; {len(differing)} verdicts differ"
            line += "".join(f"\n      {of.sample}: {' '.join(of.peer.split())} / {of.cupel}" for of in differing)
        click.echo(line)
    return found


def _figures(result: Result) -> dict[str, Any]:
    return {
        **{name: round(value, 3) for name, value in dataclasses.asdict(result.cost).items()},
        "passed": passes(result.verdicts),
        "not_passed": {
            task_id: [verdict.word for verdict in of_problem if not verdict.passed]
            for task_id, of_problem in result.verdicts.items()
            if not all(verdict.passed for verdict in of_problem)
        },
    }


def _print(contests: dict[str, Any]) -> None:
    console = Console()
    if console.is_terminal:
        console.print()
        console.print(table.for_terminal(contests))
        for name, contest in contests.items():
            text = f"{name}: {table.caption(contest)}. {table.about(contest)}"
            console.print(text, markup=False, highlight=False)
    else:
        click.echo(f"\n{table.plain(contests)}")


def _end(number: int, _: FrameType | None) -> None:
    """Ends as Ctrl-C does, so that no command stays behind."""
    sys.exit(128 + number)


if __name__ == "__main__":
    main()

"""What `cupel evaluate` shows: progress on standard error, the report where it belongs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import orjson
from rich.console import Console

from orchestrator.bar import Bar
from orchestrator.cli.tables import as_json, print_report
from orchestrator.progress import Lines, Silence

if TYPE_CHECKING:
    from orchestrator.progress import RunProgress
    from orchestrator.run import Report


def progress(*, quiet: bool) -> RunProgress:
    """Returns the way to show progress that suits standard error."""
    if quiet:
        return Silence()
    console = Console(stderr=True)
    return Bar(console) if console.is_terminal else Lines(lambda line: click.echo(line, err=True))


def print_all(report: Report, *, json: bool) -> None:
    """Prints a report to standard output; with `json` an object there, and the report to standard error."""
    print_report(Console(stderr=json), report)
    if json:
        click.echo(orjson.dumps(as_json(report)))

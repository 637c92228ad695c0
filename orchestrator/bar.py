"""Shows on a terminal how a run is getting on: a bar. Apart from `progress`, for what rich takes to import."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from orchestrator.printable import printable
from orchestrator.progress import Tally

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.model import Result


class Bar:
    """A bar on a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._tally = Tally()
        self._progress = Progress(
            TextColumn("[bold]evaluate"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            refresh_per_second=5,
        )
        self._task = self._progress.add_task("evaluate", total=None, figures="")

    def start(self, total: int, resumed: int) -> None:
        """Shows the bar."""
        self._tally.start(total, resumed)
        self._progress.update(self._task, total=total, completed=resumed, figures=self._tally.figures)
        self._progress.start()

    def note(self, result: Result) -> None:
        """Moves the bar."""
        self._tally.note(result)
        self._progress.update(self._task, completed=self._tally.done, figures=self._tally.figures)

    def say(self, text: str) -> None:
        """Prints a line above the bar."""
        self._console.print(f"cupel: {escape(printable(text))}", highlight=False)

    def stop(self) -> None:
        """Leaves the bar as it is."""
        self._progress.stop()

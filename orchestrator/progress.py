"""Shows how a run is getting on: by a line now and then, or not at all. The bar for terminals is in `bar`.

All of it goes to standard error; results are not here.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from orchestrator.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.model import Result

_LINE_EVERY_S = 5.0


class RunProgress(Protocol):
    """Shows how a run is getting on."""

    def start(self, total: int, resumed: int) -> None:
        """Begins a run of `total` samples, of which `resumed` were judged before."""

    def note(self, result: Result) -> None:
        """Counts a result."""

    def say(self, text: str) -> None:
        """Tells the user something in between."""

    def stop(self) -> None:
        """Ends; what follows may be printed by others."""


class Tally:
    """Counts what a progress display shows."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self.total = 0
        self.done = 0
        self._judged = 0
        self._passed = 0
        self._fresh = 0

    def start(self, total: int, resumed: int) -> None:
        """Begins to count."""
        self._began = self._clock()
        self.total, self.done = total, resumed

    def note(self, result: Result) -> None:
        """Counts a result."""
        self.done += 1
        self._fresh += 1
        if not result.is_sandbox_error:
            self._judged += 1
            self._passed += result.compat_passed

    @property
    def figures(self) -> str:
        """The rate, and the share of passes of what was judged in this session."""
        elapsed_s = self._clock() - self._began
        rate = f"{self._fresh / elapsed_s:.1f}/s" if elapsed_s > 0 and self._fresh else "-/s"
        share = f"{100 * self._passed / self._judged:.1f} %" if self._judged else "- %"
        return f"{rate}, {share} pass"


class Lines:
    """A line every few seconds."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._tally = Tally(clock)
        self._last = clock()

    def start(self, total: int, resumed: int) -> None:
        """Says how much there is to do."""
        self._tally.start(total, resumed)
        self._last = self._clock()
        before = f", {resumed} of them judged before" if resumed else ""
        self._write(f"cupel: {total} samples{before}")

    def note(self, result: Result) -> None:
        """Writes a line, if the last one is old enough."""
        self._tally.note(result)
        now = self._clock()
        if now - self._last >= _LINE_EVERY_S or self._tally.done == self._tally.total:
            self._last = now
            self._write(f"cupel: {self._tally.done}/{self._tally.total}, {self._tally.figures}")

    def say(self, text: str) -> None:
        """Writes a line."""
        self._write(f"cupel: {printable(text)}")

    def stop(self) -> None:
        """Has nothing to end."""


class Silence:
    """Shows nothing."""

    def start(self, total: int, resumed: int) -> None:
        """Shows nothing."""

    def note(self, result: Result) -> None:
        """Shows nothing."""

    def say(self, text: str) -> None:
        """Shows nothing."""

    def stop(self) -> None:
        """Shows nothing."""

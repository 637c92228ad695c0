"""What Ctrl-C does to a run: the first ends it in good order, the second at once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING

from orchestrator.errors import InterruptedRunError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Turns the first SIGINT or SIGTERM into a cancellation of the current task; the second ends the process.

    Args:
        say: Tells the user that the run is stopping.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._task: asyncio.Task[object] | None = None
        self.happened = False

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        for number in _SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number in _SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)

    def _interrupt(self) -> None:
        """Cancels, or ends the process: the embedded server dies with it, the journal needs no closing."""
        if self.happened:
            if sys.stderr.isatty():
                sys.stderr.write("\x1b[?25h\n")  # the bar had hidden the cursor
                sys.stderr.flush()
            os._exit(InterruptedRunError.exit_code)
        self.happened = True
        self._say("stopping; once more to stop at once")
        if self._task is not None:
            self._task.cancel()

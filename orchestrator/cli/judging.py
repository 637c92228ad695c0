"""What `cupel evaluate` does once its options are known: runs, shows, prints.

What draws (rich) is imported when the run's own server is on its way, which boots on another core meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.config import Config, load_config
from orchestrator.run import evaluate

if TYPE_CHECKING:
    from orchestrator.progress import RunProgress

__all__ = ["judge", "load_config"]

EXIT_WITH_SANDBOX_ERRORS = 5


def judge(config: Config, *, json: bool, quiet: bool) -> int:
    """Runs and prints; returns the exit code.

    Raises:
        errors.CupelError: The run cannot be done, or not to its end.
    """

    def make_progress() -> RunProgress:
        from orchestrator.cli import shown  # noqa: PLC0415 -- see above

        return shown.progress(quiet=quiet)

    report = evaluate(config, make_progress)
    from orchestrator.cli import shown  # noqa: PLC0415 -- see above

    shown.print_all(report, json=json)
    return EXIT_WITH_SANDBOX_ERRORS if report.sandbox_errors else 0

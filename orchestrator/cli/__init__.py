"""The command line: `cupel`. Each command is a module of its own; what they do is elsewhere."""

from __future__ import annotations

import click

from orchestrator.cli.evaluate import evaluate

__all__ = ["main"]

_EPILOG = (
    "Exit codes: 0 done; 2 usage; 3 bad samples or dataset; 4 no sandbox; "
    "5 finished with samples that stayed SANDBOX_ERROR; 130 interrupted, journal kept."
)


@click.group(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cupel", message="%(prog)s %(version)s")
def main() -> None:
    """Judges code that language models wrote, each sample in a container of its own."""


main.add_command(evaluate)

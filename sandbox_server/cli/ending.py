"""What every command has in common: settings from options, and what ends one, told with an exit code."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import click
import uvloop
from pydantic import ValidationError

from sandbox_server.config import Settings
from sandbox_server.errors import ListenError, WallMissingError, WorkerError

if TYPE_CHECKING:
    from collections.abc import Coroutine

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NO_SANDBOX = 4


def settings_of(options: dict[str, Any]) -> Settings:
    """Returns the settings that options and variables give; ends the command when they mean nothing."""
    given = {name: value for name, value in options.items() if value is not None and value != ()}
    try:
        return Settings(**given)
    except ValidationError as error:
        for fault in error.errors():
            place = ".".join(str(part) for part in fault["loc"])
            click.echo(f"cupel-sandbox: {f'{place}: ' if place else ''}{fault['msg']}", err=True)
        sys.exit(EXIT_USAGE)


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Runs a coroutine to its end; an error that is for people ends the command with a message and exit code."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(coroutine)
    except WallMissingError as error:
        click.echo(
            f"cupel-sandbox: {error}\n"
            "`cupel-sandbox doctor` shows every wall and what to do. To run trusted samples all the same, "
            "say --allow-weak-isolation: each outcome then names the walls that are missing.",
            err=True,
        )
        sys.exit(EXIT_NO_SANDBOX)
    except WorkerError as error:
        click.echo(f"cupel-sandbox: {error}", err=True)
        sys.exit(EXIT_NO_SANDBOX)
    except ListenError as error:
        click.echo(f"cupel-sandbox: {error}", err=True)
        sys.exit(EXIT_USAGE)

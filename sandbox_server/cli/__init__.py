"""The command `cupel-sandbox`. Each command is a module of its own, loaded when it is asked for.

`serve` has no use for what `doctor` needs to draw its table, and a run waits for its server to come up.
"""

from __future__ import annotations

import importlib
import os

import click

# Read by gRPC when it is imported: starting a worker forks, at which its handlers only complain.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")

__all__ = ["main"]

_COMMANDS = ("doctor", "serve")
"""Modules of this package; each has its command as `command`."""


class _LoadedWhenAsked(click.Group):
    """A group whose commands are imported one by one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the names of all commands."""
        return sorted({*super().list_commands(ctx), *_COMMANDS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports a command; None when there is none of that name."""
        if cmd_name not in _COMMANDS:
            return super().get_command(ctx, cmd_name)
        command: click.Command = importlib.import_module(f"{__name__}.{cmd_name}").command
        return command


@click.group(cls=_LoadedWhenAsked, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cupel", prog_name="cupel-sandbox")
def main() -> None:
    """Judges programs that nobody trusts.

    Every option can also be set by a variable CUPEL_SANDBOX_NAME; `serve --print-config` shows all there are.
    """

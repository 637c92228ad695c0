"""The command `cupel-sandbox`. Each command is a module of its own, loaded when it is asked for.

`serve` has no use for what `doctor` needs to draw its table, and a run waits for its server to come up.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import sys

import click

from sandbox_server import lifeline  # noqa: F401 -- it looks whose child this is

# Read by pydantic: looking for plugins reads the metadata of every package there is. The server has none.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
# Read by gRPC when it is imported: starting a worker forks, at which its handlers only complain.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")

# Python's last act is to look for garbage among all that was imported: 0.15 s for which a run waits.
atexit.register(gc.freeze)
# Imports make many objects that stay, samples make few cycles: to look for those each 700 objects is to look in vain.
gc.set_threshold(10_000)

__all__ = ["main"]

_COMMANDS = ("doctor", "images", "serve")
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
        _import_structlog()
        command: click.Command = importlib.import_module(f"{__name__}.{cmd_name}").command
        return command


def _import_structlog() -> None:
    """Imports structlog without rich, which it takes for coloured tracebacks if it is there: 0.05 s, for nothing."""
    if "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment] # so Python has it: this module cannot be imported
    try:
        importlib.import_module("structlog")
    finally:
        del sys.modules["rich"]


@click.group(cls=_LoadedWhenAsked, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cupel", prog_name="cupel-sandbox")
def main() -> None:
    """Judges programs that nobody trusts.

    Every option can also be set by a variable CUPEL_SANDBOX_NAME; `serve --print-config` shows all there are.
    """

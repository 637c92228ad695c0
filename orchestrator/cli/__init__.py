"""The command line: `cupel`. Each command is a module of its own, loaded when it is asked for."""

from __future__ import annotations

import atexit
import gc
import importlib
import os

import click

__all__ = ["main"]

# Read by pydantic: looking for plugins reads the metadata of every package there is. Cupel has none.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
# Read by gRPC when it is imported: else it tells people at Ctrl-C how a stream of its own ended.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
# Python's last act is to look for garbage among all that was imported: 0.15 s.
atexit.register(gc.freeze)
# Imports make many objects that stay, samples make few cycles: to look for those each 700 objects is to look in vain.
gc.set_threshold(10_000)

_COMMANDS = ("evaluate",)
"""Modules of this package; each has its command as `command`."""

_EPILOG = (
    "Exit codes: 0 done; 2 usage; 3 bad samples or dataset; 4 no sandbox; "
    "5 finished with samples that stayed SANDBOX_ERROR; 130 interrupted, journal kept."
)


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


@click.group(cls=_LoadedWhenAsked, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cupel", message="%(prog)s %(version)s")
def main() -> None:
    """Judges code that language models wrote, each sample in a container of its own."""

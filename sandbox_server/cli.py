"""The command `cupel-sandbox`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Read by gRPC when it is imported: starting a worker forks, at which its handlers only complain.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")

import click
import uvloop
from pydantic import ValidationError
from rich.console import Console

from sandbox_server import doctor as doctor_module
from sandbox_server import server, telemetry
from sandbox_server.config import Settings
from sandbox_server.errors import ListenError, WallMissingError, WorkerError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from sandbox_server.doctor import Diagnosis

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NO_SANDBOX = 4


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cupel", prog_name="cupel-sandbox")
def main() -> None:
    """Judges programs that nobody trusts.

    Every option can also be set by a variable CUPEL_SANDBOX_NAME; `serve --print-config` shows all there are.
    """


@main.command()
@click.option("--listen", metavar="ADDR", help="host:port or unix:PATH; several with commas.")
@click.option("--insecure-listen/--no-insecure-listen", default=None, help="Listen beyond this machine. No auth!")
@click.option("--runtime", type=click.Choice(["auto", "local", "simulated"]), help="What makes the workers.")
@click.option("--python", type=click.Path(path_type=Path), help="The environment's interpreter.")
@click.option("--environment", metavar="NAME", help="The environment's name.")
@click.option("--slots", type=click.IntRange(1), help="How many cells run at once.")
@click.option("--allow-weak-isolation/--no-allow-weak-isolation", default=None, help="Start with walls missing.")
@click.option("--require-wall", "required_walls", metavar="NAME", multiple=True, help="A wall that must stand.")
@click.option("--drain-grace", "drain_grace_s", type=float, metavar="S", help="Seconds for samples at a stop.")
@click.option("--die-with-parent/--no-die-with-parent", default=None, help="Stop when the parent process ends.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]))
@click.option("--log-format", type=click.Choice(["auto", "json", "console"]))
@click.option("--print-config", is_flag=True, help="Print the configuration as JSON and end.")
def serve(*, print_config: bool, **options: Any) -> None:
    """Serves samples until SIGTERM or Ctrl-C, which drains; the second one stops at once."""
    settings = _settings(options)
    if print_config:
        click.echo(settings.printable())
        return
    telemetry.configure(settings.log_level, settings.log_format)
    _run(server.serve(settings, click.echo))


@main.command()
@click.option("--python", type=click.Path(path_type=Path), help="The environment's interpreter.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(*, as_json: bool, **options: Any) -> None:
    """Starts a worker and tells which walls stand. Exit code 0 when all do, else 1."""
    settings = _settings({**options, "allow_weak_isolation": True, "required_walls": ()})
    telemetry.configure("warning", settings.log_format)
    diagnosis: Diagnosis = _run(doctor_module.diagnose(server.local_options(settings)))
    if as_json:
        click.echo(json.dumps(diagnosis.as_mapping()))
    else:
        _print(diagnosis, settings)
    sys.exit(0 if diagnosis.healthy else EXIT_FAILED)


def _settings(options: dict[str, Any]) -> Settings:
    given = {name: value for name, value in options.items() if value is not None and value != ()}
    try:
        return Settings(**given)
    except ValidationError as error:
        for fault in error.errors():
            place = ".".join(str(part) for part in fault["loc"])
            click.echo(f"cupel-sandbox: {f'{place}: ' if place else ''}{fault['msg']}", err=True)
        sys.exit(EXIT_USAGE)


def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:
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


def _print(diagnosis: Diagnosis, settings: Settings) -> None:
    console = Console()
    environment = diagnosis.environment
    console.print(f"python    {environment.python_version} at {settings.python} (digest {environment.digest[:16]})")
    console.print(f"profiles  {', '.join(environment.preload_profiles) or 'none could be preloaded'}")
    console.print(f"memory    {diagnosis.memory_source}")
    limits, maximum = settings.default_limits, settings.maximum_limits
    console.print(
        f"limits    {limits.cpu_time_s:g} s of CPU (at most {maximum.cpu_time_s:g}), "
        f"{limits.wall_time_s:g} s by the clock ({maximum.wall_time_s:g}), "
        f"{limits.memory_bytes >> 20} MiB ({maximum.memory_bytes >> 20}), "
        f"{limits.processes} processes ({maximum.processes}), {settings.slots} slots"
    )
    console.print(doctor_module.table(diagnosis))
    missing = [wall.name for wall in diagnosis.walls if not wall.standing]
    console.print(f"missing: {', '.join(missing)}" if missing else "all walls stand")

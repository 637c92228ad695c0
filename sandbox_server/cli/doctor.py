"""`cupel-sandbox doctor`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from sandbox_server import doctor as doctor_module
from sandbox_server import telemetry
from sandbox_server.cli.ending import EXIT_FAILED, run, settings_of
from sandbox_server.runtimes.choice import local_options

if TYPE_CHECKING:
    from sandbox_server.config import Settings
    from sandbox_server.doctor import Diagnosis


@click.command(name="doctor")
@click.option("--python", type=click.Path(path_type=Path), help="The environment's interpreter.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, as_json: bool, **options: Any) -> None:
    """Starts a worker and tells which walls stand. Exit code 0 when all do, else 1."""
    settings = settings_of({**options, "allow_weak_isolation": True, "required_walls": ()})
    telemetry.configure("warning", settings.log_format)
    diagnosis: Diagnosis = run(doctor_module.diagnose(local_options(settings)))
    if as_json:
        click.echo(json.dumps(diagnosis.as_mapping()))
    else:
        _print(diagnosis, settings)
    sys.exit(0 if diagnosis.healthy else EXIT_FAILED)


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

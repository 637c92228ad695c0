"""`cupel-sandbox serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sandbox_server import life, telemetry
from sandbox_server.cli.ending import run, settings_of


@click.command(name="serve")
@click.option("--listen", metavar="ADDR", help="host:port or unix:PATH; several with commas.")
@click.option("--insecure-listen/--no-insecure-listen", default=None, help="Listen beyond this machine. No auth!")
@click.option("--runtime", type=click.Choice(["auto", "docker", "local", "simulated"]), help="What makes the workers.")
@click.option("--python", type=click.Path(path_type=Path), help="The environment's interpreter.")
@click.option("--environment", metavar="NAME", help="The environment of samples that name none.")
@click.option("--docker-environments", metavar="NAMES", help="docker: environments to serve, with commas; else all.")
@click.option("--docker-oci-runtime", metavar="NAME", help="docker: what starts workers: runc, runsc.")
@click.option("--container-oci-runtime", metavar="NAME", help="docker: the same, for isolation: container.")
@click.option("--warm-containers", type=click.IntRange(1), help="docker: containers ready for one sample each.")
@click.option("--slots", type=click.IntRange(1), help="How many cells are awake at once.")
@click.option("--cells", type=click.IntRange(1), help="How many cells there are at once, sleeping ones included.")
@click.option("--preload/--no-preload", default=None, help="Import common libraries once for all cells.")
@click.option("--allow-weak-isolation/--no-allow-weak-isolation", default=None, help="Start with walls missing.")
@click.option("--require-wall", "required_walls", metavar="NAME", multiple=True, help="A wall that must stand.")
@click.option("--drain-grace", "drain_grace_s", type=float, metavar="S", help="Seconds for samples at a stop.")
@click.option("--die-with-parent/--no-die-with-parent", default=None, help="Stop when the parent process ends.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]))
@click.option("--log-format", type=click.Choice(["auto", "json", "console"]))
@click.option("--print-config", is_flag=True, help="Print the configuration as JSON and end.")
def command(*, print_config: bool, **options: Any) -> None:
    """Serves samples until SIGTERM or Ctrl-C, which drains; the second one stops at once."""
    settings = settings_of(options)
    if print_config:
        click.echo(settings.printable())
        return
    telemetry.configure(settings.log_level, settings.log_format)
    run(life.serve(settings, click.echo))

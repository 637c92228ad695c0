"""`cupel-sandbox images build` and `images list`."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from sandbox_server import images
from sandbox_server.cli.ending import EXIT_FAILED, EXIT_NO_SANDBOX, EXIT_USAGE
from sandbox_server.errors import EngineUnavailableError, SandboxServerError
from sandbox_server.images import base, recipe
from sandbox_server.images.errors import DefinitionError, ImageMakingError, PackageError, RecipeError
from sandbox_server.runtimes.docker import building

if TYPE_CHECKING:
    from collections.abc import Iterator

_MIB = 1 << 20
_HEADINGS = ("name", "tag", "id", "size", "python", "packages", "agent")
# What other programs call the same file.
_CA_VARIABLES = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT"]


@click.group(name="images")
def command() -> None:
    """Images of environments, with their packages and the agent inside."""


@command.command(name="build")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--base-image", metavar="REF", help=f"What they stand on; else {base.USUAL}, or one made here.")
@click.option("--from", "parent", metavar="NAME", help="The environment that --packages are added to.")
@click.option("--packages", metavar="LIST", multiple=True, help="Requirements such as x==1.2,y.")
@click.option("--name", "new_name", metavar="NAME", help="The name of the environment that --packages make.")
@click.option("--network", envvar="IMAGES_NETWORK", help="The network of the build: host is this machine's.")
@click.option(
    "--ca-bundle",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    envvar=_CA_VARIABLES,
    help="Certificates that pip trusts while it builds; else those that SSL_CERT_FILE names.",
)
@click.option("--pip-index-url", metavar="URL", envvar="PIP_INDEX_URL", help="Where pip looks for packages.")
@click.option("--pip-extra-index-url", metavar="URL", envvar="PIP_EXTRA_INDEX_URL", help="Where it looks besides.")
@click.option("--cache/--no-cache", default=True, help="Take steps that were built before as they are.")
@click.option("--quiet", is_flag=True, help="Only say what was built.")
def build_command(  # noqa: PLR0917 -- click passes options by name
    names: tuple[str, ...],
    base_image: str | None,
    parent: str | None,
    packages: tuple[str, ...],
    new_name: str | None,
    network: str | None,
    ca_bundle: Path | None,
    pip_index_url: str | None,
    pip_extra_index_url: str | None,
    *,
    cache: bool,
    quiet: bool,
) -> None:
    """Builds the images of environments: those named, else all; or, with --from, one derived from another."""
    deriving = parent is not None or bool(packages) or new_name is not None
    if deriving and (parent is None or not packages or new_name is None):
        raise click.UsageError("--from, --packages and --name belong together: give all three")
    if deriving and (names or base_image):
        raise click.UsageError("with --from there is one image to build: leave out NAME and --base-image")
    arguments = {"PIP_INDEX_URL": pip_index_url, "PIP_EXTRA_INDEX_URL": pip_extra_index_url}
    options = images.BuildOptions(
        network=network or None,
        ca_bundle=ca_bundle.read_bytes() if ca_bundle else None,
        arguments={name: value for name, value in arguments.items() if value},
        use_cache=cache,
    )
    progress = None if quiet else _show
    with _told(), building.connected() as engine:
        if parent is not None and new_name is not None:
            started = time.monotonic()
            built = images.build_derived(engine, parent, packages, new_name, options=options, progress=progress)
            _tell(built, time.monotonic() - started)
            return
        wanted = names or recipe.names()
        for name in wanted:
            recipe.load(name)  # a misspelt name is told before the first image is built
        found = base.ensure(engine, base_image, _say)
        for name in wanted:
            started = time.monotonic()
            built = images.build(engine, name, base_image=found, options=options, progress=progress)
            _tell(built, time.monotonic() - started)


@command.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_command(*, as_json: bool) -> None:
    """Lists the images of environments that the engine has, and which need to be built again."""
    with _told(), building.connected() as engine:
        listed = images.list_images(engine)
    if as_json:
        click.echo(json.dumps({"images": [one.as_mapping() for one in listed]}))
        return
    if not listed:
        click.echo("No images yet: `cupel-sandbox images build` makes them.")
        return
    rows = [_HEADINGS, *(_cells(one) for one in listed)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _cells(one: images.ListedImage) -> tuple[str, ...]:
    return (
        one.name,
        one.tag,
        _short(one.id),
        f"{one.size_bytes / _MIB:,.0f} MiB",
        one.python_version,
        "unknown" if one.packages is None else str(one.packages),
        "up to date" if one.agent_up_to_date else "rebuild",
    )


def _short(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:12]


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Ends the command with a message and an exit code where an image's error comes up."""
    try:
        yield
    except EngineUnavailableError as error:
        _end(error, EXIT_NO_SANDBOX)
    except (PackageError, RecipeError, DefinitionError) as error:
        _end(error, EXIT_USAGE)
    except ImageMakingError as error:
        _end(error, EXIT_FAILED)


def _end(error: SandboxServerError, code: int) -> NoReturn:
    click.echo(f"cupel-sandbox: {error}", err=True)
    sys.exit(code)


def _say(line: str) -> None:
    click.echo(line, err=True)


def _show(line: str) -> None:
    click.echo(f"  {line}", err=True)


def _tell(built: images.BuiltImage, seconds: float) -> None:
    click.echo(
        f"{built.reference}  {_short(built.id)}  {built.size_bytes / _MIB:,.0f} MiB  Python {built.python_version}  "
        f"{len(built.packages)} packages  in {seconds:.0f} s"
    )

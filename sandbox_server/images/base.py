"""The image that all others stand on: the one of the registry, or one made here of Debian's packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from sandbox_server.images.errors import BaseImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sandbox_server.runtimes.docker.building import ImageEngine

USUAL = "python:3.11-slim"
"""The base when none is named and a registry is reached."""
SUITE = "bookworm"
HOMEMADE = f"cupel/base:{SUITE}"
"""The base that is made here, of Debian's packages."""
PULL_PATIENCE_S = 20
# Debian keeps dbm.gnu of the standard library apart. Tk, too: that is no matter for a base without a display.
_PACKAGES = ("python3", "python3-gdbm", "python3-venv", "ca-certificates")
# What an installation leaves and no image needs: archives, lists, logs, translations, manuals.
_LEFT_OVER = (
    "var/cache/apt", "var/lib/apt/lists", "var/log", "usr/share/doc", "usr/share/info", "usr/share/locale",
    "usr/share/man",
)  # fmt: skip
# debootstrap takes these from the machine that it runs on.
_OF_THE_MACHINE = ("etc/hostname", "etc/resolv.conf")
_CHANGES = (
    'CMD ["python3"]',
    "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "ENV LANG=C.UTF-8",
)
_TOLD_LINES = 5


def ensure(engine: ImageEngine, wanted: str | None, say: Callable[[str], None]) -> str:
    """Returns a base image that the engine has, pulled or made if need be.

    Args:
        engine: The engine that needs it.
        wanted: The base to take; None leaves the choice.
        say: Called with a line for people about what is done and why.

    Raises:
        BaseImageError: There is none, and none could be pulled or made.
    """
    if wanted is not None:
        if engine.find(wanted) is None:
            say(f"pulling the base image {wanted}")
            engine.pull(wanted, PULL_PATIENCE_S)
        return wanted
    if engine.find(USUAL) is not None:
        return USUAL
    if engine.find(HOMEMADE) is not None:
        say(f"base image: {HOMEMADE}, made here before (--base-image {USUAL} asks the registry again)")
        return HOMEMADE
    try:
        say(f"pulling the base image {USUAL}")
        engine.pull(USUAL, PULL_PATIENCE_S)
    except BaseImageError as error:
        say(f"{error}; making {HOMEMADE} of Debian's packages instead (about a minute)")
        _make(engine, error)
        return HOMEMADE
    return USUAL


def _make(engine: ImageEngine, reason: BaseImageError) -> None:
    tool = shutil.which("debootstrap", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if tool is None:
        raise BaseImageError(
            f"{reason}, and debootstrap, which could make one of Debian's packages, is not installed: "
            "run `apt-get install debootstrap`, or name an image that you have with --base-image"
        )
    if os.geteuid() != 0:
        raise BaseImageError(
            f"{reason}, and making one of Debian's packages needs root: run `cupel-sandbox images build` as root once, "
            "or name an image that you have with --base-image"
        )
    with tempfile.TemporaryDirectory(prefix="cupel-base-") as folder:
        tree = Path(folder)
        _bootstrap(tool, tree)
        _strip(tree)
        with _as_tar(tree) as tar:
            engine.import_root(tar, HOMEMADE, _CHANGES)


def _bootstrap(tool: str, tree: Path) -> None:
    done = subprocess.run(
        [tool, "--variant=minbase", f"--include={','.join(_PACKAGES)}", SUITE, str(tree)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        last = "\n".join(line for line in done.stdout.splitlines() if line.strip())
        told = "\n".join(last.splitlines()[-_TOLD_LINES:])
        raise BaseImageError(
            f"debootstrap failed with exit code {done.returncode}:\n{told}\n"
            "Name an image that you have with --base-image"
        )


def _strip(tree: Path) -> None:
    for name in _LEFT_OVER:
        for entry in (tree / name).iterdir() if (tree / name).is_dir() else ():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    # apt and dpkg expect these folders, and licences stay where Debian puts them.
    for name in _OF_THE_MACHINE:
        (tree / name).unlink(missing_ok=True)
        (tree / name).touch()


@contextmanager
def _as_tar(tree: Path) -> Iterator[IO[bytes]]:
    # tarfile would not keep device nodes and hard links as tar does, at a tenth of its speed.
    command = ["tar", "-C", str(tree), "--numeric-owner", "--exclude=./proc/*", "--exclude=./sys/*", "-cf", "-", "."]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        yield cast("IO[bytes]", process.stdout)
    if process.returncode != 0:
        raise BaseImageError(f"tar could not pack {tree}: exit code {process.returncode}")

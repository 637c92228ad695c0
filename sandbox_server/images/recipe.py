"""Recipes: the folders `deploy/images/<name>`, and the context that a build gets.

The context is made here, of a recipe's files and the agent: never of a checkout as it lies there.
"""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox_server.images import definition, digest
from sandbox_server.images.errors import RecipeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_server.images.definition import Definition

DOCKERFILE = "Dockerfile"
LOCK = "requirements.lock"
CA_BUNDLE = "ca-bundle.pem"
AGENT = "agent"
# Beside the package where it is installed, at the top of a checkout else.
_FOLDERS = (Path(__file__).parent / "recipes", Path(__file__).parents[2] / "deploy" / "images")
_NOT_FOR_BUILDS = (".in",)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What one image is made of."""

    definition: Definition
    files: Mapping[str, bytes]
    """The files of its folder by name, the lock and the definition among them."""

    @property
    def lock(self) -> bytes:
        """The content of its requirements.lock."""
        return self.files[LOCK]


def folder() -> Path:
    """Returns the folder that holds all recipes.

    Raises:
        RecipeError: There is none.
    """
    for path in _FOLDERS:
        if path.is_dir():
            return path
    raise RecipeError(f"there are no recipes: none of {', '.join(map(str, _FOLDERS))} is there")


def names() -> tuple[str, ...]:
    """Returns the environments that have a recipe, the ones that are built faster first."""
    found = {path.parent.name: path for path in folder().glob(f"*/{DOCKERFILE}")}
    # The longer a lock, the more there is to install.
    return tuple(sorted(found, key=lambda name: (_size(found[name].with_name(LOCK)), name)))


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def load(name: str) -> Recipe:
    """Reads the recipe of an environment.

    Raises:
        RecipeError: There is none, or a file of it is missing.
        DefinitionError: Its environment.toml does not say what it must.
    """
    here = folder() / name
    if name not in names():
        raise RecipeError(f"there is no recipe for {name!r}: there are {', '.join(names())}")
    files = {
        path.name: path.read_bytes()
        for path in sorted(here.iterdir())
        if path.is_file() and path.suffix not in _NOT_FOR_BUILDS
    }
    for needed in (LOCK, definition.FILE_NAME):
        if needed not in files:
            raise RecipeError(f"{here / needed} is missing")
    defined = definition.load(here / definition.FILE_NAME)
    if defined.name != name:
        raise RecipeError(f"{here / definition.FILE_NAME}: name is {defined.name!r}, but the folder is {name!r}")
    return Recipe(defined, files)


def context(files: Mapping[str, bytes], ca_bundle: bytes | None = None) -> bytes:
    """Returns a build context as a tar: the files, the agent, and the CA bundle if there is one.

    The same content gives the same bytes, so that an engine finds what it built before.
    """
    content = {**files, **{f"{AGENT}/{path}": text for path, text in digest.agent_files().items()}}
    if ca_bundle is not None:
        content[CA_BUNDLE] = ca_bundle
    return archive(content)


def archive(content: Mapping[str, bytes]) -> bytes:
    """Returns files as a tar, in which nothing tells when or by whom it was made."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path, data in sorted(content.items()):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), 0o644
            tar.addfile(entry, io.BytesIO(data))
    return stream.getvalue()

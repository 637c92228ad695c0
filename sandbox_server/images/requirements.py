"""What packages an image has or shall have: locks, and requirements that a person typed. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from sandbox_server.images.errors import PackageError

if TYPE_CHECKING:
    from collections.abc import Iterable

# A comma ends a requirement only where a name can follow: those of "x>=1,<2" and "x[a,b]" do not.
_BETWEEN = re.compile(r",(?![^\[]*\])(?=\s*(?:[A-Za-z0-9,]|$))")
_PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)", re.MULTILINE)


def parse(texts: Iterable[str]) -> tuple[str, ...]:
    """Returns requirements as pip takes them, in the order given.

    Args:
        texts: Requirements by PEP 508; each text may hold several, with commas between.

    Raises:
        PackageError: One is none, or is a URL, or there are none at all.
    """
    found = tuple(_parse_one(part.strip()) for text in texts for part in _BETWEEN.split(text) if part.strip())
    if not found:
        raise PackageError("no packages are named: say for example --packages attrs==25.3.0,tomli")
    return found


def _parse_one(text: str) -> str:
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        first_line = str(error).partition("\n")[0]
        raise PackageError(
            f"{text!r} is no requirement ({first_line}): write a name and perhaps a version, as x==1.2"
        ) from error
    if requirement.url is not None:
        # What a URL gives today need not be what it gives tomorrow, and no lock could pin it by version.
        raise PackageError(f"{text!r} names a URL: name a package and its version")
    return str(requirement)


def pinned(lock: str) -> dict[str, str]:
    """Returns what a lock pins: normal name and version of each package, sorted by name."""
    return dict(sorted((str(canonicalize_name(name)), version) for name, version in _PINNED.findall(lock)))

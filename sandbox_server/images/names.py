"""Names of environments, images and labels. Pure."""

from __future__ import annotations

import re

from sandbox_server.images.errors import DefinitionError

# Those that the runtime reads, too, are in `runtimes/docker/labels`.
LABEL_VERSION = "io.cupel.version"
"""The version of Cupel that made the image."""
LABEL_PYTHON = "io.cupel.python"
"""The version of the environment's interpreter."""
LABEL_PACKAGES = "io.cupel.packages"
"""What the lock pins, as a JSON object from a package's normal name to its version."""

_NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
_MAXIMUM_NAME = 63
_REPOSITORY = "cupel/"
_LATEST = "latest"


def checked_environment(name: str) -> str:
    """Returns an environment's name as it is.

    Raises:
        DefinitionError: It cannot be part of an image's name.
    """
    if len(name) > _MAXIMUM_NAME or not _NAME.fullmatch(name):
        raise DefinitionError(
            f"{name[:80]!r} cannot name an environment: it takes lower-case letters and digits, with single '-' or '_' "
            f"between them, beginning with a letter, at most {_MAXIMUM_NAME} characters"
        )
    return name


def reference(environment: str, tag: str = _LATEST) -> str:
    """Returns the image reference of an environment, such as "cupel/scientific:latest"."""
    return f"{_REPOSITORY}{environment}:{tag}"

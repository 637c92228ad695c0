"""The labels of an image: written when it is built, read when it is listed or used. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox_server.images import digest, names, requirements
from sandbox_server.runtimes.docker import labels as marks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_server.images.definition import Definition

_OCI = "org.opencontainers.image."
_LICENCE = "Apache-2.0"


@dataclass(frozen=True, slots=True)
class Contents:
    """What an image holds, as its labels tell."""

    lock: bytes
    """Its requirements.lock."""
    python_version: str
    agent_digest: str


def labels_of(defined: Definition, contents: Contents, version: str) -> dict[str, str]:
    """Returns the labels of an image.

    Args:
        defined: The environment's definition.
        contents: What the image holds.
        version: The version of Cupel that makes it.
    """
    packages = requirements.pinned(contents.lock.decode("utf-8"))
    return {
        marks.ENVIRONMENT: defined.name,
        marks.AGENT: contents.agent_digest,
        marks.LOCK: digest.lock_digest(contents.lock),
        marks.DEFINITION: defined.as_json(),
        names.LABEL_VERSION: version,
        names.LABEL_PYTHON: contents.python_version,
        names.LABEL_PACKAGES: json.dumps(packages, separators=(",", ":")),
        f"{_OCI}title": f"cupel/{defined.name}",
        f"{_OCI}description": defined.description,
        f"{_OCI}licenses": _LICENCE,
        f"{_OCI}version": version,
    }


def package_count(labels: Mapping[str, str]) -> int | None:
    """Returns how many packages an image says it has; None when its label cannot be read."""
    try:
        packages = json.loads(labels.get(names.LABEL_PACKAGES, ""))
    except ValueError:
        return None
    return len(packages) if isinstance(packages, dict) else None

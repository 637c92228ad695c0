"""Which images an engine has, and whether they are up to date."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox_server.images import digest, labels, names
from sandbox_server.runtimes.docker import labels as marks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_server.runtimes.docker.building import ImageEngine


@dataclass(frozen=True, slots=True)
class ListedImage:
    """An image of an environment."""

    name: str
    tag: str
    """Its reference, such as "cupel/python:latest"."""
    id: str
    size_bytes: int
    python_version: str
    packages: int | None
    """How many packages its lock pins; None when the image does not tell."""
    agent_up_to_date: bool
    """Whether it holds the agent that belongs to this server."""

    def as_mapping(self) -> Mapping[str, object]:
        """Returns it for JSON."""
        return {
            "name": self.name,
            "tag": self.tag,
            "id": self.id,
            "size_bytes": self.size_bytes,
            "python": self.python_version,
            "packages": self.packages,
            "agent": "up to date" if self.agent_up_to_date else "rebuild",
        }


def list_images(engine: ImageEngine) -> tuple[ListedImage, ...]:
    """Returns the images of environments that an engine has, by name and tag."""
    current = digest.agent_digest()
    listed = [
        ListedImage(
            name=facts.labels[marks.ENVIRONMENT],
            tag=tag,
            id=facts.id,
            size_bytes=facts.size_bytes,
            python_version=facts.labels.get(names.LABEL_PYTHON, "unknown"),
            packages=labels.package_count(facts.labels),
            agent_up_to_date=facts.labels.get(marks.AGENT) == current,
        )
        for facts in engine.labelled(marks.ENVIRONMENT)
        for tag in facts.tags
    ]
    return tuple(sorted(listed, key=lambda one: (one.name, one.tag)))

"""Images: environments as container images, with their dependencies and the agent inside.

Here belong an image's definition, its recipe (`deploy/images/<name>`), the build context made of it, and the building.
What a worker does with an image belongs to `runtimes/docker`, which alone speaks with an engine.
"""

from __future__ import annotations

from sandbox_server.images.builder import BuildOptions, BuiltImage, build, build_derived
from sandbox_server.images.definition import Definition
from sandbox_server.images.digest import agent_digest, lock_digest
from sandbox_server.images.listing import ListedImage, list_images

__all__ = [
    "BuildOptions",
    "BuiltImage",
    "Definition",
    "ListedImage",
    "agent_digest",
    "build",
    "build_derived",
    "list_images",
    "lock_digest",
]

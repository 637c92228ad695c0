"""Digests that tell whether an image is up to date. Pure but for reading the agent's files."""

from __future__ import annotations

import hashlib
from pathlib import Path

AGENT_FOLDER = Path(__file__).parents[1] / "agent"
"""Where the agent that belongs to this server lies."""


def agent_files(folder: Path = AGENT_FOLDER) -> dict[str, bytes]:
    """Returns the agent's source files: their paths within it, with "/", and their contents, sorted by path."""
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.py")}
    return dict(sorted(files.items()))


def agent_digest(folder: Path = AGENT_FOLDER) -> str:
    """Returns "sha256:..." over the paths and contents of the agent's source files."""
    total = hashlib.sha256()
    for path, content in agent_files(folder).items():
        # Lengths go in, too: else one file could continue where another ends.
        total.update(f"{len(path.encode())} {path} {len(content)} ".encode())
        total.update(content)
    return f"sha256:{total.hexdigest()}"


def lock_digest(lock: bytes) -> str:
    """Returns "sha256:..." over the text of a requirements.lock."""
    return f"sha256:{hashlib.sha256(lock).hexdigest()}"

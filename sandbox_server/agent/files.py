"""Files into a cell before its program starts, and out of it after the program ended.

Paths come from a request, and what lies at them afterwards from a hostile program: nothing is followed, and only
regular files are read.
"""

from __future__ import annotations

import os
import stat
from typing import Any, Dict, List, Sequence

from . import protocol

_MAXIMUM_PARTS = 32


def _parts(path: str) -> List[str]:
    parts = path.split("/")
    if not path or "\0" in path or len(parts) > _MAXIMUM_PARTS or any(part in ("", ".", "..") for part in parts):
        raise OSError(22, "not a relative path within the working directory", path)
    return parts


def place(entries: Sequence[Dict[str, Any]], work: str) -> None:
    """Writes files below the working directory.

    Raises:
        OSError: A path leaves the directory, or there is no room.
    """
    for entry in entries:
        parts = _parts(entry["path"])
        path = os.path.join(work, *parts)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(protocol.unb64(entry["content_b64"]))


def collect(paths: Sequence[str], place: int, room_bytes: int) -> List[Dict[str, Any]]:
    """Reads files below the working directory, of which `place` is a descriptor.

    What is absent, not a regular file, or beyond the room is left out.
    """
    found = []
    for path in paths:
        try:
            content = _read(_parts(path), place, room_bytes)
        except OSError:
            continue
        room_bytes -= len(content)
        found.append({"path": path, "content_b64": protocol.b64(content)})
    return found


def _read(parts: Sequence[str], place: int, room_bytes: int) -> bytes:
    folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=place)
    try:
        for part in parts[:-1]:
            # Without O_PATH gVisor follows a link to a folder, whatever O_NOFOLLOW says.
            inner = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        descriptor = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    finally:
        os.close(folder)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > room_bytes:
            raise OSError(22, "not a regular file within the room")
        return file.read(room_bytes)

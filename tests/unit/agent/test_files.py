from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

import pytest

from sandbox_server.agent import files

if TYPE_CHECKING:
    from pathlib import Path


def _entry(path: str, content: bytes = b"x") -> dict[str, str]:
    return {"path": path, "content_b64": base64.b64encode(content).decode()}


def _collect(paths: list[str], work: Path, room_bytes: int = 1000) -> dict[str, bytes]:
    place = os.open(work, os.O_PATH | os.O_DIRECTORY)
    try:
        found = files.collect(paths, place, room_bytes)
    finally:
        os.close(place)
    return {entry["path"]: base64.b64decode(entry["content_b64"]) for entry in found}


def test_what_is_placed_can_be_collected(tmp_path: Path) -> None:
    files.place([_entry("a.txt", b"1"), _entry("deep/er/b.txt", b"2")], str(tmp_path))
    assert _collect(["a.txt", "deep/er/b.txt", "absent"], tmp_path) == {"a.txt": b"1", "deep/er/b.txt": b"2"}


@pytest.mark.parametrize("path", ["", "/etc/x", "../x", "a/../../x", "a//b", "./a", "a\0b", "/".join("x" * 40)])
def test_paths_that_leave_the_directory_are_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="not a relative path"):
        files.place([_entry(path)], str(tmp_path))
    assert _collect([path], tmp_path) == {}


def test_links_fifos_and_folders_stay_behind(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    work = tmp_path / "work"
    work.mkdir()
    (work / "link").symlink_to(secret)
    (work / "folder").symlink_to(tmp_path)
    os.mkfifo(work / "fifo")
    (work / "directory").mkdir()
    assert _collect(["link", "folder/secret", "fifo", "directory", "../secret"], work) == {}


def test_files_beyond_the_room_stay_behind(tmp_path: Path) -> None:
    files.place([_entry("a", b"x" * 600), _entry("b", b"y" * 600), _entry("c", b"z" * 400)], str(tmp_path))
    assert sorted(_collect(["a", "b", "c"], tmp_path, 1000)) == ["a", "c"]

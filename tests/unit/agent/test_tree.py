from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sandbox_server.agent import tree

if TYPE_CHECKING:
    from pathlib import Path

FAMILY = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=sys.stdin)
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.parametrize("listed", [True, False])
def test_descendants_are_found_whether_or_not_the_kernel_lists_children(
    listed: bool,  # noqa: FBT001 -- a parameter of the test
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tree, "_LISTS_CHILDREN", listed)
    with subprocess.Popen([sys.executable, "-c", FAMILY], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdin is not None
        child = int(parent.stdout.readline())
        assert tree.children(parent.pid) == [child]
        assert tree.descendants(parent.pid) == [child]
        assert {parent.pid, child} <= set(tree.descendants(os.getpid()))
        parent.stdin.close()


def test_files_take_what_they_take_and_links_lead_nowhere(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    (inside / "deep" / "er").mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "large").write_bytes(b"x" * (8 << 20))
    (inside / "deep" / "er" / "file").write_bytes(b"x" * (1 << 20))
    (inside / "link").symlink_to(outside)
    os.mkfifo(inside / "fifo")
    descriptor = os.open(inside, os.O_PATH | os.O_DIRECTORY)
    try:
        assert 1 << 20 <= tree.disk_bytes(descriptor) < 2 << 20
    finally:
        os.close(descriptor)

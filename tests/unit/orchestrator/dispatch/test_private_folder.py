"""Nothing is left of a run, however it ended."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from orchestrator.dispatch.private_folder import PrivateFolder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_it_is_private_and_goes_away(tmp_path: Path) -> None:
    folder = PrivateFolder()
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    folder.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_killed_runs_folder_is_swept_up_and_a_living_ones_is_not(tmp_path: Path) -> None:
    living = PrivateFolder()
    killed = PrivateFolder()
    (killed.path / "sock").touch()
    os.close(killed._lock)  # as the kernel does for a process that was killed
    strangers = [tmp_path / "cupel-run-unlocked", tmp_path / "other"]
    for stranger in strangers:
        stranger.mkdir()
    link = tmp_path / "cupel-run-link"
    link.symlink_to(tmp_path / "other")
    (tmp_path / "other" / "lock").touch()
    third = PrivateFolder()
    assert not killed.path.exists()
    assert living.path.exists()
    assert all(stranger.exists() for stranger in strangers)
    living.remove()
    third.remove()

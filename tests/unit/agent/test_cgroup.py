"""Version 2 is tested against a directory that imitates it: see docs/decisions/0006."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sandbox_server.agent.walls import cgroup


def _imitate(base: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str]) -> None:
    """Makes every new folder below `base` have the files that the kernel would put there."""
    real_mkdir = os.mkdir

    def mkdir(path: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        real_mkdir(path, mode, dir_fd=dir_fd)
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY, dir_fd=dir_fd)
        for name, text in files.items():
            descriptor = os.open(name, os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=folder)
            os.write(descriptor, text.encode())
            os.close(descriptor)
        os.close(folder)

    monkeypatch.setattr(os, "mkdir", mkdir)
    for name, text in files.items():
        (base / name).write_text(text)


_VERSION_2 = {
    "cgroup.procs": "", "cgroup.subtree_control": "", "memory.max": "max", "memory.swap.max": "max",
    "memory.peak": "4096\n",
    "memory.events": "low 0\noom 2\noom_kill 1\n", "pids.max": "max", "pids.events": "max 3\n",
}  # fmt: skip


@pytest.fixture
def version_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    _imitate(tmp_path, monkeypatch, _VERSION_2)
    monkeypatch.setattr(cgroup, "_mounts", lambda: {"": str(tmp_path)})
    monkeypatch.setattr(cgroup, "_own_groups", lambda: {"": "/"})
    return tmp_path


def test_a_delegated_version_2_group_gives_cells_their_limits(version_2: Path) -> None:
    (version_2 / "cgroup.subtree_control").write_text("cpu memory pids")
    cgroups, why = cgroup.prepare(None)
    assert cgroups is not None, why
    assert cgroups.version == 2
    group = cgroups.take(1 << 20, 9)
    cell = Path(cgroups.paths[0]) / "cell1"
    assert (cell / "memory.max").read_text().startswith("1048576")
    assert (cell / "memory.swap.max").read_text().startswith("0")
    assert (cell / "pids.max").read_text().startswith("9")
    assert group.usage() == cgroup.Usage(4096, 1, 3)
    assert len(group.joins) == 1
    assert cgroup.killed_for_memory(group.events)
    _close(group, cgroups)


def test_version_2_groups_are_not_used_twice(version_2: Path) -> None:
    (version_2 / "cgroup.subtree_control").write_text("cpu memory pids")
    cgroups, _ = cgroup.prepare(None)
    assert cgroups is not None
    first = cgroups.take(1 << 20, 9)
    cgroups.give_back(first)  # the imitation's files keep it from being removed, so it stays to be tidied
    second = cgroups.take(1 << 20, 9)
    assert second is not first
    _close(second, cgroups)


def _close(group: cgroup.Group, cgroups: cgroup.Cgroups) -> None:
    for descriptor in (*group.descriptors(), *cgroups.folders.values()):
        os.close(descriptor)


def test_a_version_2_group_that_holds_strangers_is_left_alone(version_2: Path) -> None:
    (version_2 / "cgroup.procs").write_text(f"{os.getpid()}\n1\n")
    cgroups, why = cgroup.prepare(None)
    assert cgroups is None
    assert "processes of others" in why
    assert (version_2 / "cgroup.subtree_control").read_text() == ""


def test_no_cgroup_file_system_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "_mounts", dict)
    monkeypatch.setattr(cgroup, "_own_groups", dict)
    assert cgroup.prepare(None) == (None, "no cgroup file system is mounted")


def test_what_a_killed_agent_left_is_removed_and_a_living_ones_is_not(tmp_path: Path) -> None:
    dead, living, other = tmp_path / "cupel-4194999", tmp_path / f"cupel-{os.getpid()}", tmp_path / "cupel-x"
    for path in (dead / "cell1", living, other):
        path.mkdir(parents=True)
    cgroup._remove_left_over(str(tmp_path))
    assert not dead.exists()
    assert living.exists()
    assert other.exists()

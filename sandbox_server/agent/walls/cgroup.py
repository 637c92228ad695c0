"""The memory and process limits of a cell's whole tree, by a cgroup of its own where one can be written.

Version 1 (one hierarchy a controller) and version 2 (one for all). The worker's group is made while the agent still
has its first privileges and handed to the user that cells are built as; cells' groups are made and removed below
it, through a descriptor, since the cells' root does not show /sys.
"""

from __future__ import annotations

import os
import time
from typing import Dict, List, NamedTuple, Optional, Tuple

_PREFIX = "cupel-"


class Usage(NamedTuple):
    """What a cell's groups counted."""

    peak_memory_bytes: int
    out_of_memory_kills: int
    refused_forks: int


class _Files(NamedTuple):
    memory_limit: str
    swap_limit: Optional[str]
    memory_peak: str
    memory_events: str


_VERSION_1 = _Files(
    "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.max_usage_in_bytes", "memory.oom_control"
)
_VERSION_2 = _Files("memory.max", "memory.swap.max", "memory.peak", "memory.events")


class Group:
    """The groups of one cell: one directory for each hierarchy."""

    __slots__ = ("_cgroups", "_name")

    def __init__(self, cgroups: "Cgroups", name: str) -> None:
        self._cgroups = cgroups
        self._name = name

    def open_for_joining(self) -> List[int]:
        """Returns descriptors; a process that writes "0" to each is in the group. The caller closes them."""
        flags = os.O_WRONLY | os.O_CLOEXEC
        return [
            os.open(self._name + "/cgroup.procs", flags, dir_fd=folder) for folder in self._cgroups.folders.values()
        ]

    def open_events(self) -> int:
        """Returns a descriptor to read with `killed_for_memory`. The caller closes it."""
        path = self._name + "/" + self._cgroups.files.memory_events
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._cgroups.folders["memory"])

    def usage(self) -> Usage:
        """Returns what was counted so far."""
        files = self._cgroups.files
        memory = self._cgroups.folders["memory"]
        peak = _read(memory, self._name + "/" + files.memory_peak)
        kills = _field(_read(memory, self._name + "/" + files.memory_events), "oom_kill")
        pids = self._cgroups.folders.get("pids", memory)
        refused = _field(_read(pids, self._name + "/pids.events"), "max")
        return Usage(int(peak) if peak.strip().isdigit() else 0, kills, refused)

    def remove(self) -> bool:
        """Removes the groups; returns whether all are gone (a process that is still dying keeps its group)."""
        gone = True
        for folder in self._cgroups.folders.values():
            try:
                os.rmdir(self._name, dir_fd=folder)
            except FileNotFoundError:
                continue
            except OSError:
                gone = False
        return gone


class Cgroups:
    """The worker's group, below which each cell gets one.

    Args:
        folders: Descriptors of the worker's group by controller; version 2 has only "memory" for both.
        paths: The same as paths, for removal by a process that still sees them.
        files: The names of the version's files.
    """

    def __init__(self, folders: Dict[str, int], paths: List[str], files: _Files) -> None:
        self.folders = folders
        self.paths = paths
        self.files = files

    @property
    def version(self) -> int:
        """1 or 2."""
        return 1 if self.files is _VERSION_1 else 2

    def create(self, name: str, memory_bytes: int, processes: int) -> Group:
        """Makes the group of one cell, with its limits.

        Raises:
            OSError: The kernel refused.
        """
        group = Group(self, name)
        for folder in self.folders.values():
            os.mkdir(name, dir_fd=folder)
        memory = self.folders["memory"]
        _write(memory, name + "/" + self.files.memory_limit, str(memory_bytes))
        if self.files.swap_limit:
            try:  # absent without swap accounting; memory is then bounded and swap is the operator's choice
                _write(
                    memory,
                    name + "/" + self.files.swap_limit,
                    "0" if self.version == 2 else str(memory_bytes),
                )
            except OSError:
                self.files = self.files._replace(swap_limit=None)
        _write(self.folders.get("pids", memory), name + "/pids.max", str(processes))
        return group


def killed_for_memory(events: int) -> bool:
    """Whether the kernel has killed a process of the group whose events these are."""
    return _field(os.pread(events, 4096, 0).decode("ascii", "replace"), "oom_kill") > 0


def _read(folder: int, path: str) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:  # memory.peak came with Linux 5.19
        return ""
    try:
        return os.read(descriptor, 4096).decode("ascii", "replace")
    finally:
        os.close(descriptor)


def _write(folder: int, path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=folder)
    try:
        os.write(descriptor, text.encode("ascii"))
    finally:
        os.close(descriptor)


def _field(text: str, name: str) -> int:
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.strip().isdigit():
            return int(value)
    return 0


def _mounts() -> Dict[str, str]:
    """Returns where each version 1 controller, and version 2 as "", is mounted."""
    found: Dict[str, str] = {}
    with open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
        for line in file:
            _, target, kind, options = line.split(" ")[:4]
            if kind == "cgroup2":
                found.setdefault("", target)
            elif kind == "cgroup":
                for option in options.split(","):
                    found.setdefault(option, target)
    return found


def _own_groups() -> Dict[str, str]:
    """Returns the path of the caller's group in each version 1 hierarchy, and in version 2 as ""."""
    groups: Dict[str, str] = {}
    with open("/proc/self/cgroup", encoding="utf-8", errors="replace") as file:
        for line in file:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            for controller in controllers.split(","):
                groups[controller] = path
    return groups


def prepare(owner: Optional[Tuple[int, int]]) -> "tuple[Optional[Cgroups], str]":
    """Makes the worker's group; returns it, or None and why there is none.

    Args:
        owner: The uid and gid to hand it to, when the agent gives up its own.
    """
    mounts, own = _mounts(), _own_groups()
    name = "%s%d" % (_PREFIX, os.getpid())
    try:
        if "memory" in mounts and "pids" in mounts:
            bases = {key: _existing(mounts[key], own.get(key, "/")) for key in ("memory", "pids")}
            files = _VERSION_1
        elif "" in mounts:
            bases = {"memory": _delegated(mounts[""] + own.get("", "/"))}
            files = _VERSION_2
        else:
            return None, "no cgroup file system is mounted"
        paths = []
        for base in bases.values():
            _remove_left_over(base)
            path = os.path.join(base, name)
            os.mkdir(path)
            paths.append(path)
            if files is _VERSION_2:
                with open(path + "/cgroup.subtree_control", "w", encoding="ascii") as control:
                    control.write("+memory +pids")
            if owner:
                os.chown(path, *owner)
                for entry in ("cgroup.procs", "tasks", "cgroup.subtree_control"):
                    if os.path.exists(os.path.join(path, entry)):
                        os.chown(os.path.join(path, entry), *owner)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        folders = {key: os.open(path, flags) for key, path in zip(bases, paths)}
    except OSError as error:
        return None, "no cgroup of our own can be made: %s" % error
    return Cgroups(folders, paths, files), ""


def _existing(mount: str, group: str) -> str:
    # In a container the path of /proc/self/cgroup may lie outside what is mounted.
    path = mount + group.rstrip("/")
    return path if os.path.isdir(path) else mount


def _delegated(base: str) -> str:
    """Returns a version 2 group below which limits can be set, moving ourselves out of the way if need be."""
    with open(base + "/cgroup.subtree_control", encoding="ascii") as file:
        if {"memory", "pids"} <= set(file.read().split()):
            return base
    leaf = os.path.join(base, "cupel-agent")
    os.makedirs(leaf, exist_ok=True)  # a group with limits below it may hold no process itself
    with open(base + "/cgroup.procs", encoding="ascii") as file:
        pids = file.read().split()
    if pids != [str(os.getpid())]:
        raise OSError(16, "the group %s holds processes of others" % base)
    with open(leaf + "/cgroup.procs", "w", encoding="ascii") as file:
        file.write("0")
    with open(base + "/cgroup.subtree_control", "w", encoding="ascii") as file:
        file.write("+memory +pids")
    return base


def _remove_left_over(base: str) -> None:
    """Removes groups whose agent was killed before it could."""
    for name in os.listdir(base):
        pid = name[len(_PREFIX) :]
        if name.startswith(_PREFIX) and pid.isdigit() and not os.path.exists("/proc/" + pid):
            remove_tree(os.path.join(base, name))


def remove_tree(path: str) -> None:
    """Removes a group and the groups below it; what is still in use after a second is left to the next agent."""
    for _ in range(50):
        try:
            for name in os.listdir(path):
                if os.path.isdir(os.path.join(path, name)):
                    os.rmdir(os.path.join(path, name))
            os.rmdir(path)
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.02)  # the kernel lets a group go only when its last process is quite gone
        else:
            return

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
    """The groups of one cell: one directory for each hierarchy, with the descriptors that a cell's life needs.

    Args:
        cgroups: The worker's groups.
        name: The directories' name.
    """

    def __init__(self, cgroups: "Cgroups", name: str) -> None:
        self._cgroups = cgroups
        self._name = name
        self._limits = (-1, -1)
        self._opened: List[int] = []
        self._counted = Usage(0, 0, 0)
        files, memory = cgroups.files, cgroups.folders["memory"]
        pids = cgroups.folders.get("pids", memory)
        for folder in cgroups.folders.values():
            os.mkdir(name, dir_fd=folder)
        self.joins = [self._open(folder, "cgroup.procs", os.O_RDWR) for folder in cgroups.folders.values()]
        """Descriptors: a process that writes "0" to each is in the group."""
        self.events = self._open(memory, files.memory_events, os.O_RDONLY)
        """A descriptor to read with `killed_for_memory`."""
        # memory.peak came with Linux 5.19, and has been writable only since 6.12.
        peak_flags = os.O_RDWR if cgroups.version == 1 else os.O_RDONLY
        self._peak = self._open(memory, files.memory_peak, peak_flags) if cgroups.has_peak(name) else -1
        self._pids_events = self._open(pids, "pids.events", os.O_RDONLY)

    def _open(self, folder: int, file: str, flags: int) -> int:
        self._opened.append(os.open(self._name + "/" + file, flags | os.O_CLOEXEC, dir_fd=folder))
        return self._opened[-1]

    def descriptors(self) -> List[int]:
        """Returns all that is open."""
        return self._opened

    def limit(self, memory_bytes: int, processes: int) -> None:
        """Sets the limits, and forgets the peak.

        Raises:
            OSError: The kernel refused.
        """
        if (memory_bytes, processes) != self._limits:
            self._cgroups.write_limits(self._name, memory_bytes, processes)
            self._limits = (memory_bytes, processes)
        elif self._peak >= 0:
            os.pwrite(self._peak, b"0", 0)

    def usage(self) -> Usage:
        """Returns what was counted so far."""
        peak = _text(self._peak) if self._peak >= 0 else ""
        kills, refused = _field(_text(self.events), "oom_kill"), _field(_text(self._pids_events), "max")
        self._counted = Usage(int(peak) if peak.strip().isdigit() else 0, kills, refused)
        return self._counted

    @property
    def is_as_new(self) -> bool:
        """Whether nobody is in it and nothing was counted that cannot be set back, as far as was asked."""
        clean = self._counted.out_of_memory_kills == 0 and self._counted.refused_forks == 0
        return clean and not any(_text(descriptor) for descriptor in self.joins)

    def remove(self) -> bool:
        """Removes the groups; returns whether all are gone (a process that is still dying keeps its group)."""
        while self._opened:
            os.close(self._opened.pop())
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

    Making and removing a group costs more than all else that a cell does with it. Version 1 can set a group back, so
    there it is used again for another cell, once it is empty.

    Args:
        folders: Descriptors of the worker's group by controller; version 2 has only "memory" for both.
        paths: The same as paths, for removal by a process that still sees them.
        files: The names of the version's files.
    """

    def __init__(self, folders: Dict[str, int], paths: List[str], files: _Files) -> None:
        self.folders = folders
        self.paths = paths
        self.files = files
        self.version = 1 if files is _VERSION_1 else 2
        self._free: List[Group] = []
        self._leaving: List[Group] = []
        self._made = 0

    def descriptors(self) -> List[int]:
        """Returns the descriptors of the worker's group and of those that wait for a cell."""
        waiting = [number for group in (*self._free, *self._leaving) for number in group.descriptors()]
        return [*self.folders.values(), *waiting]

    def take(self, memory_bytes: int, processes: int) -> Group:
        """Returns the group of one cell, with its limits.

        Raises:
            OSError: The kernel refused.
        """
        while self._free:
            group = self._free.pop()
            try:
                group.limit(memory_bytes, processes)
            except OSError:  # what the last cell left charged to it is above the limit
                self._leaving.append(group)
            else:
                return group
        self._made += 1
        group = Group(self, "cell%d" % self._made)
        try:
            group.limit(memory_bytes, processes)
        except OSError:
            self.give_back(group)
            raise
        return group

    def give_back(self, group: Group) -> None:
        """Takes the group of a cell that is gone."""
        if self.version == 1 and group.is_as_new:
            self._free.append(group)
        elif not group.remove():
            self._leaving.append(group)

    def tidy(self) -> None:
        """Removes the groups that could not be removed when they were given back."""
        self._leaving = [group for group in self._leaving if not group.remove()]

    def has_peak(self, name: str) -> bool:
        """Whether this kernel tells the peak of a group's memory."""
        try:
            os.stat(name + "/" + self.files.memory_peak, dir_fd=self.folders["memory"])
        except FileNotFoundError:
            return False
        return True

    def write_limits(self, name: str, memory_bytes: int, processes: int) -> None:
        """Writes the limits of a group."""
        memory = self.folders["memory"]
        _write(memory, name + "/" + self.files.memory_limit, str(memory_bytes))
        if self.files.swap_limit:
            try:  # absent without swap accounting; memory is then bounded and swap is the operator's choice
                swap = "0" if self.version == 2 else str(memory_bytes)
                _write(memory, name + "/" + self.files.swap_limit, swap)
            except OSError:
                self.files = self.files._replace(swap_limit=None)
        _write(self.folders.get("pids", memory), name + "/pids.max", str(processes))


def killed_for_memory(events: int) -> bool:
    """Whether the kernel has killed a process of the group whose events these are."""
    return _field(_text(events), "oom_kill") > 0


def _text(descriptor: int) -> str:
    return os.pread(descriptor, 4096, 0).decode("ascii", "replace")


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
            remove_tree(os.path.join(base, name), tries=1)


def remove_tree(path: str, tries: int = 50) -> None:
    """Removes a group and the groups below it; what is still in use after a second is left to the next agent."""
    for _ in range(tries):
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

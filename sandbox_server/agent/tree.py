"""What the processes of a cell use, added up from /proc. Decides nothing."""

from __future__ import annotations

import os
from typing import Dict, Iterable, List, NamedTuple

_TICK_SECONDS = 1.0 / os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class TreeUsage(NamedTuple):
    """What the processes of a cell use together."""

    cpu_s: float
    """Also of children that they have waited for."""
    threads: int
    processes: int
    memory_bytes: int


class Thread(NamedTuple):
    """What one thread has asked of the CPUs since it began."""

    ran_s: float
    waited_s: float
    """Runnable, but without a CPU."""
    state: str
    """At this moment, by proc's letters: "R" when it runs or waits for a CPU, "Z" when it has ended."""


NEW_THREAD = Thread(0.0, 0.0, "")


def _read(path: str) -> str:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(4096).decode("ascii", "replace")
    except OSError:  # the process ended between listing and reading
        return ""


def children(pid: int) -> List[int]:
    """Returns the children of a process."""
    try:
        threads = os.listdir("/proc/%d/task" % pid)
    except OSError:
        return []
    return [int(text) for thread in threads for text in _read("/proc/%d/task/%s/children" % (pid, thread)).split()]


def descendants(root: int) -> List[int]:
    """Returns the descendants of a process."""
    found: List[int] = []
    waiting = [root]
    while waiting:
        below = children(waiting.pop(0))
        found += below
        waiting += below
    return found


def anonymous_bytes(pid: str = "self") -> int:
    """Returns the private anonymous memory of a process."""
    fields = _read("/proc/%s/statm" % pid).split()
    return (int(fields[1]) - int(fields[2])) * _PAGE_BYTES if len(fields) > 2 else 0


def resident_bytes(pid: str = "self") -> int:
    """Returns the resident memory of a process."""
    fields = _read("/proc/%s/statm" % pid).split()
    return int(fields[1]) * _PAGE_BYTES if len(fields) > 1 else 0


def data_bytes() -> int:
    """Returns what the caller has mapped as data: what RLIMIT_DATA counts."""
    fields = _read("/proc/self/statm").split()
    return int(fields[5]) * _PAGE_BYTES if len(fields) > 5 else 0


def usage(pids: Iterable[int], zygote_bytes: int, *, with_memory: bool) -> TreeUsage:
    """Adds up what processes use.

    Args:
        pids: The processes.
        zygote_bytes: The anonymous memory that each had when it was forked. A process below it has replaced its
            memory (exec), so all of it counts.
        with_memory: Whether to add up memory, which costs one more file each.
    """
    cpu_s, threads, processes, memory, shared = 0.0, 0, 0, 0, 0
    for pid in pids:
        text = _read("/proc/%d/stat" % pid)
        fields = text[text.rfind(")") + 2 :].split()
        if len(fields) < 22:
            continue
        cpu_s += sum(int(field) for field in fields[11:15]) * _TICK_SECONDS
        threads += int(fields[17])
        processes += 1
        if with_memory:
            status = _read("/proc/%d/status" % pid)
            anonymous = _kibibytes(status, "RssAnon:")
            memory += anonymous - zygote_bytes if anonymous >= zygote_bytes else anonymous
            shared = max(shared, _kibibytes(status, "RssShmem:"))
    return TreeUsage(cpu_s, threads, processes, memory + shared)


def _kibibytes(status: str, name: str) -> int:
    start = status.find(name)
    if start < 0:
        return 0
    return int(status[start + len(name) : status.find("kB", start)]) << 10


def threads(pids: Iterable[int]) -> Dict[int, Thread]:
    """Returns every thread of processes by its id.

    Where the kernel keeps no /proc/PID/schedstat, times are 0 and what remains is the state.
    """
    found: Dict[int, Thread] = {}
    for pid in pids:
        try:
            names = os.listdir("/proc/%d/task" % pid)
        except OSError:  # it ended
            continue
        for name in names:
            text = _read("/proc/%d/task/%s/stat" % (pid, name))
            times = _read("/proc/%d/task/%s/schedstat" % (pid, name)).split()
            ran_s, waited_s = (int(times[0]) / 1e9, int(times[1]) / 1e9) if len(times) > 1 else (0.0, 0.0)
            found[int(name)] = Thread(ran_s, waited_s, text[text.rfind(")") + 2 :][:1])
    return found


def run_delay_s(pid: int) -> float:
    """Returns how long a process has waited for a CPU: being slowed by neighbours is not its fault."""
    fields = _read("/proc/%d/schedstat" % pid).split()
    return int(fields[1]) / 1e9 if len(fields) > 1 else 0.0


def disk_bytes(folder: int) -> int:
    """Returns how many bytes the files below a directory take, as far as they can be seen."""
    total = 0
    for _, _, names, within in os.fwalk(".", dir_fd=folder):
        for name in names:
            try:
                total += os.stat(name, dir_fd=within, follow_symlinks=False).st_blocks * 512
            except OSError:
                continue  # removed between listing and looking
    return total

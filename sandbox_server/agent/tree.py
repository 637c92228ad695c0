"""What the processes of a cell use, added up from /proc. Decides nothing."""

from __future__ import annotations

import os
import stat
from typing import Dict, Iterable, List, NamedTuple

_TICK_SECONDS = 1.0 / os.sysconf("SC_CLK_TCK")
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW
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


# Absent without CONFIG_PROC_CHILDREN, and in gVisor.
_LISTS_CHILDREN = os.path.exists("/proc/self/task/%d/children" % os.getpid())


def children(pid: int) -> List[int]:
    """Returns the children of a process."""
    if not _LISTS_CHILDREN:
        return _families().get(pid, [])
    try:
        threads = os.listdir("/proc/%d/task" % pid)
    except OSError:
        return []
    return [int(text) for thread in threads for text in _read("/proc/%d/task/%s/children" % (pid, thread)).split()]


def descendants(root: int) -> List[int]:
    """Returns the descendants of a process."""
    found: List[int] = []
    waiting = [root]
    families = {} if _LISTS_CHILDREN else _families()
    while waiting:
        pid = waiting.pop(0)
        below = children(pid) if _LISTS_CHILDREN else families.get(pid, [])
        found += below
        waiting += below
    return found


def _families() -> Dict[int, List[int]]:
    """Returns the children of every process, by what each says of its parent."""
    found: Dict[int, List[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            text = _read("/proc/%s/stat" % name)
            fields = text[text.rfind(")") + 2 :].split()
            if len(fields) > 1:
                found.setdefault(int(fields[1]), []).append(int(name))
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


def virtual_bytes() -> int:
    """Returns all that the caller has mapped: what RLIMIT_AS counts."""
    fields = _read("/proc/self/statm").split()
    return int(fields[0]) * _PAGE_BYTES if fields else 0


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
            # gVisor does not tell them apart, neither here nor in statm, where the zygote's come from.
            tells_anonymous = "RssAnon:" in status
            anonymous = _kibibytes(status, "RssAnon:" if tells_anonymous else "VmRSS:")
            if tells_anonymous:
                memory += anonymous - zygote_bytes if anonymous >= zygote_bytes else anonymous
            else:  # and what is not touched yet does not count in a fork there: less than the zygote's says nothing
                memory += max(0, anonymous - zygote_bytes)
            shared = max(shared, _kibibytes(status, "RssShmem:"))
    return TreeUsage(cpu_s, threads, processes, memory + shared)


def proportional_bytes(pids: Iterable[int], zygote_bytes: int) -> int:
    """Adds up the memory of processes, each page once however many of them share it; -1 where that is not told.

    Costs a walk through each one's page tables, a hundred times what `usage` costs.

    Args:
        pids: The processes.
        zygote_bytes: The anonymous memory that the first had when it was forked.
    """
    memory = 0
    for pid in pids:
        rollup = _read("/proc/%d/smaps_rollup" % pid)
        if "Pss_Anon:" not in rollup:
            if os.path.exists("/proc/%d" % pid):
                return -1
            continue  # it ended meanwhile
        memory += _kibibytes(rollup, "Pss_Anon:") + _kibibytes(rollup, "Pss_Shmem:")
    # What is shared with the zygote and its other cells counts in part only, and for all of these processes but once.
    return max(0, memory - zygote_bytes) if memory >= zygote_bytes else memory


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
    waiting = [os.open(".", _FOLDER, dir_fd=folder)]
    while waiting:
        within = waiting.pop()
        try:
            # Opened anew, since what only names a folder cannot be read. Never by a path: what lies there may change
            # at any moment into a link that leads elsewhere, or into a pipe that nobody writes to.
            readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=within)
        except OSError:
            continue  # the sample took away its own right to read it
        finally:
            os.close(within)
        try:
            for name in os.listdir(readable):
                try:
                    status = os.stat(name, dir_fd=readable, follow_symlinks=False)
                    total += status.st_blocks * 512
                    if stat.S_ISDIR(status.st_mode):
                        waiting.append(os.open(name, _FOLDER, dir_fd=readable))
                except OSError:
                    continue  # removed between listing and looking
        finally:
            os.close(readable)
    return total

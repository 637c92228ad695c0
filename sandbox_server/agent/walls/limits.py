"""The resource limits of a sample's process: a floor under what the supervisor and the cgroup enforce."""

from __future__ import annotations

import mmap
import resource
from typing import Any, Dict

_MEBIBYTE = 1 << 20
_STACK_BYTES = 10 * _MEBIBYTE  # also what each thread maps, and so counts as data
_ARENA_BYTES = 128 * _MEBIBYTE  # what glibc sets aside for a thread and mostly never touches: addresses, not data
# How many more processes the kernel allows than the limit says, so that the supervisor sees a bomb before the
# bomb sees an error: a count above the limit is a fact, EAGAIN is only a guess.
PROCESS_HEADROOM = 16
_MINOR = ((resource.RLIMIT_MSGQUEUE, 0), (resource.RLIMIT_SIGPENDING, 256))


def apply(limits: Dict[str, Any], baseline_bytes: int, *, data_limit: bool, own_user_namespace: bool) -> None:
    """Applies the limits to the calling process and its children.

    Args:
        limits: As in the agent's protocol.
        baseline_bytes: What the zygote has already mapped of what the limit on memory counts.
        data_limit: Whether that limit is RLIMIT_DATA; else it is RLIMIT_AS.
        own_user_namespace: Whether processes are counted for this cell alone. RLIMIT_NPROC counts a user's
            processes in all of the machine otherwise, and would hit neighbours.
    """
    # CPU time is the supervisor's; the kernel's limit backs it up, in whole seconds, for each process.
    cpu_seconds = int(limits["cpu_s"]) + 2
    _set(resource.RLIMIT_CPU, cpu_seconds, cpu_seconds + 1)
    thread_bytes = _STACK_BYTES if data_limit else _STACK_BYTES + _ARENA_BYTES
    memory = resource.RLIMIT_DATA if data_limit else resource.RLIMIT_AS
    _set(memory, limits["memory_bytes"] + baseline_bytes + limits["processes"] * thread_bytes + 32 * _MEBIBYTE)
    _set(resource.RLIMIT_FSIZE, limits["file_size_bytes"])
    _set(resource.RLIMIT_NOFILE, limits["open_files"])
    _set(resource.RLIMIT_STACK, _STACK_BYTES)
    _set(resource.RLIMIT_CORE, 0)
    _set(resource.RLIMIT_MEMLOCK, 0)
    for kind, value in _MINOR:
        try:
            _set(kind, value)
        except ValueError:
            continue  # gVisor has some in name only; what stays as it was, the test of the walls tells
    if own_user_namespace:
        _set(resource.RLIMIT_NPROC, limits["processes"] + PROCESS_HEADROOM)


def map_beyond_data_limit() -> None:
    """Maps more than RLIMIT_DATA lets the caller have, which is what it then has for good.

    Raises:
        OSError: The kernel refused, as it should.
    """
    resource.setrlimit(resource.RLIMIT_DATA, (_MEBIBYTE, _MEBIBYTE))
    mmap.mmap(-1, 16 * _MEBIBYTE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()


def _set(kind: int, soft: int, hard: int = -1) -> None:
    hard = soft if hard < 0 else hard
    _, ceiling = resource.getrlimit(kind)
    if ceiling != resource.RLIM_INFINITY:  # "not allowed to raise maximum limit": a smaller one stands already
        soft, hard = min(soft, ceiling), min(hard, ceiling)
    resource.setrlimit(kind, (soft, hard))

"""The resource limits of a sample's process: a floor under what the supervisor and the cgroup enforce."""

from __future__ import annotations

import resource
from typing import Any, Dict

_MEBIBYTE = 1 << 20
_STACK_BYTES = 10 * _MEBIBYTE  # also what each thread maps, and so counts as data
# How many more processes the kernel allows than the limit says, so that the supervisor sees a bomb before the
# bomb sees an error: a count above the limit is a fact, EAGAIN is only a guess.
PROCESS_HEADROOM = 16


def apply(limits: Dict[str, Any], baseline_bytes: int, *, own_user_namespace: bool) -> None:
    """Applies the limits to the calling process and its children.

    Args:
        limits: As in the agent's protocol.
        baseline_bytes: What the zygote has already mapped as data, which counts for RLIMIT_DATA.
        own_user_namespace: Whether processes are counted for this cell alone. RLIMIT_NPROC counts a user's
            processes in all of the machine otherwise, and would hit neighbours.
    """
    # CPU time is the supervisor's; the kernel's limit backs it up, in whole seconds, for each process.
    cpu_seconds = int(limits["cpu_s"]) + 2
    _set(resource.RLIMIT_CPU, cpu_seconds, cpu_seconds + 1)
    stacks_bytes = limits["processes"] * _STACK_BYTES
    _set(resource.RLIMIT_DATA, limits["memory_bytes"] + baseline_bytes + stacks_bytes + 32 * _MEBIBYTE)
    _set(resource.RLIMIT_FSIZE, limits["file_size_bytes"])
    _set(resource.RLIMIT_NOFILE, limits["open_files"])
    _set(resource.RLIMIT_STACK, _STACK_BYTES)
    _set(resource.RLIMIT_CORE, 0)
    _set(resource.RLIMIT_MEMLOCK, 0)
    _set(resource.RLIMIT_MSGQUEUE, 0)
    _set(resource.RLIMIT_SIGPENDING, 256)
    if own_user_namespace:
        _set(resource.RLIMIT_NPROC, limits["processes"] + PROCESS_HEADROOM)


def _set(kind: int, soft: int, hard: int = -1) -> None:
    hard = soft if hard < 0 else hard
    _, ceiling = resource.getrlimit(kind)
    if ceiling != resource.RLIM_INFINITY:  # "not allowed to raise maximum limit": a smaller one stands already
        soft, hard = min(soft, ceiling), min(hard, ceiling)
    resource.setrlimit(kind, (soft, hard))

"""The namespaces of a cell: user, PID, mount, network, IPC and UTS, all fresh."""

from __future__ import annotations

import _socket
import fcntl
import os
import signal
import struct
import time
from socket import AF_INET, SOCK_DGRAM, sethostname
from typing import Tuple

from . import syscalls

CELL_ID = 1000
"""The uid and gid that a sample sees as its own."""
CLONED = syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWPID
"""What the zygote clones a cell's first process into; the rest is unshared by that process, off the zygote's time."""
_UNSHARED = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWNET | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWUTS
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1
_LOOPBACK_UP = struct.pack("16sH14x", b"lo", _IFF_UP)
_AF_INET, _SOCK_DGRAM, _SIGKILL = int(AF_INET), int(SOCK_DGRAM), int(signal.SIGKILL)
_TRIES = 20


def map_ids(inner: Tuple[int, int], outer: Tuple[int, int]) -> None:
    """Maps the caller's ids in its fresh user namespace: exactly one user and one group exist there."""
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", "%d %d 1" % (inner[0], outer[0]))
    _write("/proc/self/gid_map", "%d %d 1" % (inner[1], outer[1]))


def enter(outer: Tuple[int, int]) -> None:
    """Finishes the namespaces of a process that was cloned with CLONED.

    Args:
        outer: The uid and gid that the process has outside.
    """
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, _SIGKILL)
    map_ids((CELL_ID, CELL_ID), outer)
    for attempt in range(_TRIES):
        try:
            syscalls.unshare(_UNSHARED)
            break
        except OSError:
            # The kernel destroys network namespaces in the background; when that lags, new ones are refused.
            if attempt == _TRIES - 1:
                raise
            time.sleep(0.01 * (attempt + 1))
    # From here nobody with the sample's uid may look into this process or write to its memory.
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    sethostname("cell")
    _raise_loopback()


def _raise_loopback() -> None:
    # The C class: the one in Python looks up three enums on its way, which costs a cell twenty copied pages.
    control = _socket.socket(_AF_INET, _SOCK_DGRAM)
    fcntl.ioctl(control.fileno(), _SIOCSIFFLAGS, _LOOPBACK_UP)
    control.close()


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode("ascii"))
    finally:
        os.close(descriptor)

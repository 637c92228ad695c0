"""The namespaces of a cell: user, PID, mount, network, IPC and UTS, all fresh."""

from __future__ import annotations

import _socket
import contextlib
import errno
import fcntl
import os
import struct
import time
from socket import AF_INET, SOCK_DGRAM, sethostname
from typing import Tuple

from . import syscalls

CELL_ID = 1000
"""The uid and gid that a sample sees as its own."""
_JOINED = (
    syscalls.CLONE_NEWUSER
    | syscalls.CLONE_NEWNS
    | syscalls.CLONE_NEWNET
    | syscalls.CLONE_NEWIPC
    | syscalls.CLONE_NEWUTS
)
_ALL = _JOINED | syscalls.CLONE_NEWPID
_WITHOUT_MOUNTS = _ALL & ~syscalls.CLONE_NEWNS
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1
_LOOPBACK_UP = struct.pack("16sH14x", b"lo", _IFF_UP)
# The C class: the one in Python looks up three enums on its way, which costs a cell twenty copied pages.
_AF_INET, _SOCK_DGRAM = int(AF_INET), int(SOCK_DGRAM)
_TRIES = 20


def can_be_joined() -> bool:
    """Whether this kernel has all of a cell's namespaces, and lets a process join those of another.

    gVisor of 2022 takes the flag for a mount namespace, makes none and says nothing; it has neither pidfds nor a setns
    that works. So what it shows is believed, and not what it takes.
    """
    if not os.path.exists("/proc/self/ns/mnt"):
        return False
    try:
        os.close(syscalls.pidfd_open(os.getpid()))
    except OSError:
        return False
    return True


def map_ids(inner: Tuple[int, int], outer: Tuple[int, int], process: str = "self") -> None:
    """Maps the ids of a process in its fresh user namespace: exactly one user and one group exist there."""
    # Absent before Linux 3.19, and in gVisor; a kernel that has it takes no gid_map without it.
    with contextlib.suppress(FileNotFoundError):
        _write("/proc/%s/setgroups" % process, "deny")
    _write("/proc/%s/uid_map" % process, "%d %d 1" % (inner[0], outer[0]))
    _write("/proc/%s/gid_map" % process, "%d %d 1" % (inner[1], outer[1]))


def start_first_process(stack_top: int) -> int:
    """Starts the first process of a cell, which holds its namespaces together; returns its pid.

    It has all capabilities in them, which is also why the sample, having none, can neither trace it nor read its
    memory; as the first of its PID namespace it cannot be signalled from within; and it executes nothing but a
    wait.

    Args:
        stack_top: See `syscalls.clone_idle`, as for the signals that must be blocked.
    """
    for attempt in range(_TRIES):
        try:
            pid = syscalls.clone_idle(_ALL, stack_top)
            break
        except OSError:
            # The kernel destroys network namespaces in the background; when that lags, new ones are refused.
            if attempt == _TRIES - 1:
                raise
            time.sleep(0.01 * (attempt + 1))
    map_ids((CELL_ID, CELL_ID), (0, 0), str(pid))
    return pid


def start_alone(outer: Tuple[int, int]) -> int:
    """Forks into fresh namespaces, all but a mount namespace; returns 0 in the child, its pid in the caller.

    For kernels whose namespaces cannot be joined. The child is the first process in there: all else in there ends
    with it.

    Args:
        outer: The uid and gid that the child has outside.
    """
    read_end, write_end = os.pipe()
    pid = syscalls.clone(_WITHOUT_MOUNTS)
    if pid == 0:
        os.close(write_end)
        if not os.read(read_end, 1):
            os._exit(1)  # the ids could not be mapped, as the caller says
        os.close(read_end)
        os.setresgid(CELL_ID, CELL_ID, CELL_ID)
        os.setresuid(CELL_ID, CELL_ID, CELL_ID)
        return 0
    os.close(read_end)
    try:
        map_ids((CELL_ID, CELL_ID), outer, str(pid))
        os.write(write_end, b"1")
    finally:
        os.close(write_end)
    return pid


def join(first: int) -> None:
    """Moves the caller into the namespaces of a cell, but for the PID namespace, in which it was started.

    Args:
        first: A pidfd of the cell's first process.
    """
    syscalls.setns(first, _JOINED)


def furnish() -> None:
    """Gives fresh namespaces a name and a loopback interface."""
    sethostname("cell")
    _raise_loopback()


def _raise_loopback() -> None:
    control = _socket.socket(_AF_INET, _SOCK_DGRAM)
    try:
        fcntl.ioctl(control.fileno(), _SIOCSIFFLAGS, _LOOPBACK_UP)
    except OSError as error:
        if error.errno != errno.ENOTTY:  # gVisor has no such call, and a loopback that is up from the start
            raise
    finally:
        control.close()


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode("ascii"))
    finally:
        os.close(descriptor)

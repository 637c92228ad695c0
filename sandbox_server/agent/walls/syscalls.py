"""The system calls that Python does not offer, through libc. Nothing here decides anything.

Functions raise OSError with the name of the call, so that a wall that cannot be built says why.
"""

from __future__ import annotations

import ctypes
import os
from typing import NoReturn, Optional

CLONE_VM = 0x00000100
CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 0x2

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38
PR_SET_CHILD_SUBREAPER = 36

MACHINE = os.uname().machine
# Numbers differ by architecture only for the calls that are older than 2019.
_NUMBERS = {
    "x86_64": {"clone": 56, "pivot_root": 155, "capset": 126},
    "aarch64": {"clone": 220, "pivot_root": 41, "capset": 91},
}
_SYS = _NUMBERS.get(MACHINE, {})
_SYS_CLONE = _SYS.get("clone", -1)
_SYS_CAPSET = _SYS.get("capset", -1)
_SYS_PIDFD_OPEN = 434
_SYS_CLOSE_RANGE = 436
_SYS_MOUNT_SETATTR = 442
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_MOUNT_ATTR_RDONLY = 0x1
_MOUNT_ATTR_NOSUID = 0x2
_MOUNT_ATTR_NODEV = 0x4

_libc = ctypes.CDLL(None, use_errno=True)
# PyDLL keeps the GIL: a fork by raw system call must not let it go, or the child would wait for it for ever.
_libc_with_gil = ctypes.PyDLL(None, use_errno=True)
# Looked up and typed here, once, rather than in each cell: what a cell's process creates it also copies pages for.
_clone = _libc_with_gil["syscall"]
_clone.argtypes = [ctypes.c_long, ctypes.c_ulong] + [ctypes.c_void_p] * 4
_clone.restype = ctypes.c_long
_clone_function = _libc_with_gil["clone"]
_clone_function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
_PAUSE = ctypes.cast(_libc.pause, ctypes.c_void_p)
_setns = _libc.setns
_setns.argtypes = [ctypes.c_int, ctypes.c_int]
_pidfd_open = _libc["syscall"]
_pidfd_open.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_uint]
_close_range = _libc["syscall"]
_close_range.argtypes = [ctypes.c_long, ctypes.c_uint, ctypes.c_uint, ctypes.c_uint]
_unshare = _libc.unshare
_unshare.argtypes = [ctypes.c_int]
_mount = _libc.mount
_mount.argtypes = [ctypes.c_char_p] * 3 + [ctypes.c_ulong, ctypes.c_char_p]
_prctl = _libc.prctl
_prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
_capset = _libc["syscall"]
_capset.argtypes = [ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_CAPABILITY_HEADER = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, the calling process
_NO_CAPABILITIES = (ctypes.c_uint32 * 6)()


class _MountAttributes(ctypes.Structure):
    _fields_ = [
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    ]


def _fail(call: str, path: str = "") -> NoReturn:
    number = ctypes.get_errno()
    raise OSError(number, "%s: %s" % (call, os.strerror(number)), path or None)


def supported() -> bool:
    """Whether this architecture's numbers are known."""
    return bool(_SYS)


def clone(flags: int) -> int:
    """Forks, into new namespaces if flags say so; returns 0 in the child and the child's pid in the parent.

    os.fork after unshare would need one process more, and Python's own hooks after a fork cost half a millisecond
    of copied pages. They exist for threads that are gone and for locks that these had held: the caller must have one
    thread only, and seed its own random generators.
    """
    pid = int(_libc_with_gil.syscall(_SYS["clone"], ctypes.c_ulong(flags | 17), None, None, None, None))  # SIGCHLD
    if pid < 0:
        _fail("clone")
    return pid


def clone_idle(flags: int, stack_top: int) -> int:
    """Starts a process that does nothing but wait to be killed, in new namespaces; returns its pid.

    It shares the caller's memory, so that there is nothing to copy, and calls libc's `pause` on a stack of its own.
    The caller must have blocked all signals, which the process inherits: `pause` then never returns.

    Args:
        flags: The namespaces.
        stack_top: The end of its stack, aligned to 16 bytes.
    """
    pid: int = _clone_function(_PAUSE, stack_top, CLONE_VM | flags | 17, None)
    if pid < 0:
        _fail("clone")
    return pid


def setns(descriptor: int, flags: int) -> None:
    """Moves the caller into namespaces of the process that a pidfd is of; for PID, only its children to come."""
    if _setns(descriptor, flags):
        _fail("setns")


def pidfd_open(pid: int) -> int:
    """Returns a descriptor of a process."""
    descriptor: int = _pidfd_open(_SYS_PIDFD_OPEN, pid, 0)
    if descriptor < 0:
        _fail("pidfd_open")
    return descriptor


def unshare(flags: int) -> None:
    """Moves the caller into new namespaces."""
    if _unshare(flags):
        _fail("unshare")


def mount(source: str, target: str, kind: Optional[str], flags: int, options: Optional[str] = None) -> None:
    """Mounts."""
    encoded_kind = kind.encode() if kind else None
    encoded_options = options.encode() if options else None
    if _mount(source.encode(), os.fsencode(target), encoded_kind, flags, encoded_options):
        _fail("mount %s" % (kind or "bind"), target)


def make_read_only(target: str) -> None:
    """Makes a mount and all below it read-only, without setuid and devices."""
    wanted = _MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NOSUID | _MOUNT_ATTR_NODEV
    attributes = _MountAttributes(wanted, 0, 0, 0)
    result = _libc.syscall(
        _SYS_MOUNT_SETATTR,
        _AT_FDCWD,
        os.fsencode(target),
        _AT_RECURSIVE,
        ctypes.byref(attributes),
        ctypes.c_size_t(ctypes.sizeof(attributes)),
    )
    if result:
        _fail("mount_setattr", target)


def unmount(target: str, flags: int = MNT_DETACH) -> None:
    """Unmounts, lazily by default."""
    if _libc.umount2(os.fsencode(target), flags):
        _fail("umount2", target)


def pivot_root(new: str, old: str) -> None:
    """Makes `new` the root and moves the old root to `old`."""
    if _libc.syscall(_SYS["pivot_root"], os.fsencode(new), os.fsencode(old)):
        _fail("pivot_root", new)


def prctl(option: int, value: int, second: int = 0) -> None:
    """Calls prctl with one or two numbers."""
    if _prctl(option, value, second, 0, 0) < 0:
        _fail("prctl(%d)" % option)


def drop_capabilities() -> None:
    """Gives up every capability: permitted, effective, inheritable."""
    if _capset(_SYS_CAPSET, ctypes.byref(_CAPABILITY_HEADER), ctypes.byref(_NO_CAPABILITIES)):
        _fail("capset")


def make_semaphores(key: int) -> int:
    """Makes a set of one System V semaphore that everybody may see, or finds it; returns its id."""
    number: int = _libc.semget(ctypes.c_int(key), 1, 0o1666)  # IPC_CREAT
    if number < 0:
        _fail("semget")
    return number


def remove_semaphores(number: int) -> None:
    """Removes a set of semaphores, if it is still there."""
    _libc.semctl(number, 0, 0)  # IPC_RMID


def close_range(first: int, last: int) -> None:
    """Closes every descriptor from `first` to `last`."""
    if first <= last and _close_range(_SYS_CLOSE_RANGE, first, last, 0):
        os.closerange(first, min(last, 65536) + 1)

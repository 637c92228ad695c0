"""The system-call filter of a cell, as a classic BPF program.

Everything is allowed but what a program under judgement has no honest use for. Refused calls fail with EPERM (or
ENOSYS where callers know how to fall back) instead of killing: an allow list breaks each time a library learns a
new call, and killing turns a harmless probe into a crash. The filter is the third wall, not the first.
"""

from __future__ import annotations

import ctypes
import struct
from typing import Dict, List, Tuple

from . import syscalls

_EPERM, _ENOSYS, _EAFNOSUPPORT = 1, 38, 97
_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_KILL = 0x80000000

# name: (number on x86_64, number on aarch64); -1 where the architecture does not have it.
_REFUSED: Dict[str, Tuple[int, int]] = {
    # namespaces and mounts: what the cell was built with
    "unshare": (272, 97), "setns": (308, 268),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431),
    "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442), "statmount": (457, 457),
    "listmount": (458, 458), "open_tree_attr": (467, 467),
    "sethostname": (170, 161), "setdomainname": (171, 162),
    # other processes' memory and descriptors
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438), "process_madvise": (440, 440),
    # kernel features with a long record of holes
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "seccomp": (317, 277), "modify_ldt": (154, -1), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "fanotify_init": (300, 262), "lookup_dcookie": (212, 18),
    # the machine as a whole
    "reboot": (169, 142), "kexec_load": (246, 104), "kexec_file_load": (320, 294),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "create_module": (174, -1),
    "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171), "clock_adjtime": (305, 266),
    "iopl": (172, -1), "ioperm": (173, -1), "syslog": (103, 116), "vhangup": (153, 58),
    "nfsservctl": (180, 42), "uselib": (134, -1), "ustat": (136, -1), "sysfs": (139, -1), "_sysctl": (156, -1),
    "personality": (135, 92), "migrate_pages": (256, 238), "move_pages": (279, 239),
}  # fmt: skip
_ABSENT: Dict[str, Tuple[int, int]] = {
    # clone3 passes its flags by pointer, which a filter cannot read; glibc falls back to clone on ENOSYS.
    "clone3": (435, 435),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
}  # fmt: skip
# Memory that belongs to no process: only a cgroup counts it, so without one it cannot be had.
_UNCOUNTED: Dict[str, Tuple[int, int]] = {
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194),
}  # fmt: skip
_CLONE = {"x86_64": 56, "aarch64": 220}
_SOCKET = {"x86_64": (41, 53), "aarch64": (198, 199)}  # socket, socketpair
_IOCTL = {"x86_64": 16, "aarch64": 29}
_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_NEW_NAMESPACES = 0x7E020000
# Unix, IPv4, IPv6 and netlink belong to the cell's own network namespace. Others do not all: AF_VSOCK reaches the
# hypervisor from any namespace.
_FAMILIES = (1, 2, 10, 16)
_REFUSED_IOCTLS = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX: typing into the terminal that started the server

_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENT_0_AT, _ARGUMENT_1_AT = 0, 4, 16, 24


def program(machine: str = syscalls.MACHINE, *, sampled: bool = False) -> bytes:
    """Returns the filter for an architecture, as an array of struct sock_filter.

    Args:
        machine: The architecture, as platform.machine() names it.
        sampled: Whether memory is bounded by adding up processes, so that other memory must not exist.

    Raises:
        KeyError: The architecture is not known here.
    """
    column = 0 if machine == "x86_64" else 1
    code: List[Tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_JUMP_EQUAL, 1, 0, _ARCHITECTURE[machine]),
        (_RETURN, 0, 0, _KILL),  # another calling convention would have other numbers
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    if machine == "x86_64":
        code += [(_JUMP_GREATER_EQUAL, 0, 1, 0x40000000), (_RETURN, 0, 0, _ERRNO | _EPERM)]  # the x32 ABI
    refused = {**_REFUSED, **_UNCOUNTED} if sampled else _REFUSED
    for table, action in ((refused, _ERRNO | _EPERM), (_ABSENT, _ERRNO | _ENOSYS)):
        for numbers in table.values():
            if numbers[column] >= 0:
                code += [(_JUMP_EQUAL, 0, 1, numbers[column]), (_RETURN, 0, 0, action)]
    code += [
        (_JUMP_EQUAL, 0, 4, _CLONE[machine]),
        (_LOAD, 0, 0, _ARGUMENT_0_AT),
        (_JUMP_SET, 0, 1, _NEW_NAMESPACES),
        (_RETURN, 0, 0, _ERRNO | _EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    for number in _SOCKET[machine]:
        code += [(_JUMP_EQUAL, 0, len(_FAMILIES) + 3, number), (_LOAD, 0, 0, _ARGUMENT_0_AT)]
        code += [(_JUMP_EQUAL, len(_FAMILIES) - at, 0, family) for at, family in enumerate(_FAMILIES)]
        code += [(_RETURN, 0, 0, _ERRNO | _EAFNOSUPPORT), (_RETURN, 0, 0, _ALLOW)]
    code += [(_JUMP_EQUAL, 0, len(_REFUSED_IOCTLS) + 3, _IOCTL[machine]), (_LOAD, 0, 0, _ARGUMENT_1_AT)]
    code += [(_JUMP_EQUAL, len(_REFUSED_IOCTLS) - at, 0, number) for at, number in enumerate(_REFUSED_IOCTLS)]
    code += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ERRNO | _EPERM), (_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("HBBI", *instruction) for instruction in code)


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def compiled(*, sampled: bool) -> "tuple[_Program, ctypes.Array[ctypes.c_char]]":
    """Returns the filter of this machine ready for `install`, with the memory that holds it."""
    text = program(sampled=sampled)
    memory = ctypes.create_string_buffer(text, len(text))
    return _Program(len(text) // 8, ctypes.addressof(memory)), memory


def install(filter_program: _Program) -> None:
    """Puts the calling process and all its children behind the filter, for good. Needs PR_SET_NO_NEW_PRIVS."""
    syscalls.prctl(22, 2, ctypes.addressof(filter_program))  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER

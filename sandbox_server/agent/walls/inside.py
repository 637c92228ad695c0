"""What a program sees from inside a cell: run as a sample by the agent at its start, to see which walls stand.

Tries what a hostile sample would try, and prints what happened as one JSON object. Not imported by anything.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import socket
import stat
from typing import Any, Callable, Dict, List, Tuple


def attempt(call: Callable[..., object], *arguments: Any) -> str:
    """Returns the name of the error that a call raises, or "" if it succeeds."""
    try:
        call(*arguments)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return ""


def libc(name: str, *arguments: Any) -> str:
    """Calls a libc function that returns -1 on failure; returns the name of the error, or ""."""
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments) == -1:
        return errno.errorcode.get(ctypes.get_errno(), "?")
    return ""


def status() -> Dict[str, str]:
    """Returns the fields of /proc/self/status, none if it cannot be read."""
    try:
        with open("/proc/self/status", encoding="utf-8") as file:
            fields = (line.rstrip("\n").partition(":\t") for line in file)
            return {name: value for name, _, value in fields}
    except OSError:
        return {}


def namespaces() -> Dict[str, int]:
    """Returns the inode number of each namespace that can be read."""
    found = {}
    for name in ("user", "pid", "mnt", "net", "ipc", "uts"):
        try:
            found[name] = os.stat("/proc/self/ns/" + name).st_ino
        except OSError:
            continue
    return found


def write_to(path: str) -> None:
    """Tries to make a file."""
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    os.unlink(path)


def connect_out() -> None:
    """Tries to reach an address that belongs to nobody (RFC 5737)."""
    with socket.socket() as client:
        client.settimeout(0.2)
        client.connect(("192.0.2.1", 9))


def open_descriptors() -> List[int]:
    """Returns which of the first 256 descriptors are open."""
    return [number for number in range(256) if attempt(os.fstat, number) == ""]


def no_new_privileges() -> str:
    """Returns the flag where /proc/self/status lacks it (before Linux 4.10, and in gVisor)."""
    return str(ctypes.CDLL(None).prctl(39, 0, 0, 0, 0))


def opened(path: str) -> bool:
    """Returns whether a descriptor of another process can be opened to write to what it is of, devices aside."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return False
    is_device = stat.S_ISCHR(os.fstat(descriptor).st_mode)
    os.close(descriptor)
    return not is_device


def identity(status: os.stat_result) -> Tuple[int, int]:
    """Returns what tells one file from all others."""
    return status.st_dev, status.st_ino


def reachable() -> List[str]:
    """Returns what can be opened of other processes: memory, and descriptors but for this program's own streams."""
    found = []
    own = os.readlink("/proc/self") if attempt(os.readlink, "/proc/self") == "" else ""
    streams = {identity(os.fstat(number)) for number in (1, 2)}
    for name in os.listdir("/proc"):
        folder = "/proc/%s/fd" % name
        if name.isdigit() and name != own:
            found.append("/proc/%s/mem" % name)
            if attempt(os.listdir, folder) == "":
                found += ["%s/%s" % (folder, number) for number in os.listdir(folder)]
    return [path for path in found if opened(path) and identity(os.stat(path)) not in streams]


disk = os.statvfs(".")
fields = status()
print(
    json.dumps(
        {
            "uid": os.getuid(),
            "parent": os.getppid(),
            "namespaces": namespaces(),
            "interfaces": [name for _, name in socket.if_nameindex()],
            "hostname": socket.gethostname(),
            "connect": attempt(connect_out),
            "write_root": attempt(write_to, "/cupel-probe"),
            "write_usr": attempt(write_to, "/usr/cupel-probe"),
            "disk_bytes": disk.f_blocks * disk.f_frsize,
            "processes": [int(name) for name in os.listdir("/proc") if name.isdigit()],
            "proc_is_there": bool(fields),
            "reachable": reachable(),
            "capabilities": int(fields["CapEff"], 16) | int(fields["CapPrm"], 16) if fields else None,
            "no_new_privs": fields.get("NoNewPrivs", no_new_privileges()) if fields else None,
            "seccomp": fields.get("Seccomp"),
            "mount": libc("mount", b"none", b"/tmp", b"tmpfs", 0, None),
            "unshare": libc("unshare", 0x10000000),
            "ptrace": libc("ptrace", 16, os.getppid(), 0, 0),
            "semaphores": libc("semget", 0x4375706C, 0, 0),
            "keyctl": libc("syscall", {"x86_64": 250, "aarch64": 219}.get(os.uname().machine, -1), 0, -3, 0),
            "descriptors": open_descriptors(),
            "core_limit": resource.getrlimit(resource.RLIMIT_CORE)[1],
            "minor_limits": {
                "message queues": resource.getrlimit(resource.RLIMIT_MSGQUEUE)[1],
                "pending signals": resource.getrlimit(resource.RLIMIT_SIGPENDING)[1],
            },
            "file_limit": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
            "session": os.getsid(0) == os.getpid(),
        }
    )
)

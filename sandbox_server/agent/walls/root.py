"""The file view: what a cell can see of the machine, and what it can write.

The worker's root is built once: a tmpfs with read-only binds of the interpreter and the system's libraries, and
nothing else of the host. A cell copies that mount namespace and adds a tmpfs and a /proc of its own: five mounts.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from typing import Iterable, List, Sequence, Tuple

from . import syscalls
from .syscalls import MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_PRIVATE, MS_RDONLY, MS_REC, MS_REMOUNT

_CELL = "/cell"
Link = Tuple[str, str]
WORK = "/cell/work"
"""The working directory of a sample."""
_KEPT = "/.kept"
_COVERED = ("/tmp", "/dev/shm", _CELL)
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_CONFIGURATION = (
    "/etc/alternatives", "/etc/fonts", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime",
    "/etc/magic", "/etc/mime.types", "/etc/protocols", "/etc/services", "/etc/ssl/openssl.cnf", "/etc/timezone",
    "/etc/R",
)  # fmt: skip
_DEVICES = ("null", "zero", "full", "random", "urandom")
_FILES = {
    "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\ncupel:x:1000:1000:cupel:/tmp:/bin/sh\n",
    "/etc/group": "root:x:0:\ncupel:x:1000:\n",
    "/etc/hosts": "127.0.0.1 localhost cell\n::1 localhost\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "/etc/hostname": "cell\n",
}
# A directory that exists everywhere, is not among what is shown, and can be covered in a namespace of our own.
_STAGES = ("/sys", "/mnt", "/media", "/srv")
_MAXIMUM_INODES = 65536


def interpreter_paths() -> List[str]:
    """Returns the directories that this interpreter needs, without what only a checkout adds to sys.path."""
    paths = [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix]
    paths += [
        path for name, path in sysconfig.get_paths().items() if name in ("stdlib", "platstdlib", "purelib", "platlib")
    ]
    paths += [path for path in sys.path if "-packages" in os.path.basename(path.rstrip("/"))]
    executable = os.path.realpath(sys.executable)
    paths += [os.path.dirname(executable)] if not _covered(executable, [*paths, *_SYSTEM]) else []
    return paths


def outermost(paths: Iterable[str]) -> List[str]:
    """Returns the existing paths without those that lie inside another."""
    kept: List[str] = []
    for path in sorted({os.path.normpath(path) for path in paths if path and os.path.lexists(path)}):
        if not _covered(path, kept):
            kept.append(path)
    return kept


def _covered(path: str, others: Sequence[str]) -> bool:
    return any(path == other or path.startswith(other.rstrip("/") + "/") for other in others)


def build(visible: Sequence[str], hidden: Sequence[str], *, fresh_proc: bool) -> "tuple[bool, Tuple[Link, ...]]":
    """Makes the calling process's mount namespace into the worker's root.

    Returns whether /proc is its own, and what must be shown again wherever a cell's own places cover it: an
    interpreter below /tmp, say.

    Args:
        visible: Paths to show besides the system's and the interpreter's.
        hidden: Paths to cover, which lie inside what is shown.
        fresh_proc: Whether to try to mount /proc anew; without it the old one is carried over.

    Raises:
        OSError: A mount was refused.
    """
    shown = outermost([*_SYSTEM, *_CONFIGURATION, *interpreter_paths(), *visible])
    stage = next(path for path in _STAGES if os.path.isdir(path) and not any(_covered(one, [path]) for one in shown))
    syscalls.mount("none", "/", None, MS_REC | MS_PRIVATE)
    syscalls.mount("cupel", stage, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=16m")
    for path in ("/dev", "/dev/shm", "/etc", "/proc", "/run", "/var", _CELL, _KEPT, "/tmp", "/.old"):
        os.makedirs(stage + path, exist_ok=True)
    os.chmod(stage + "/tmp", 0o1777)
    os.symlink("../tmp", stage + "/var/tmp")
    for path, text in _FILES.items():
        with open(stage + path, "w", encoding="ascii") as file:
            file.write(text)
    for name in _DEVICES:
        _touch(stage + "/dev/" + name)
        syscalls.mount("/dev/" + name, stage + "/dev/" + name, None, MS_BIND)
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        os.symlink(target, stage + "/dev/" + name)
    links: List[Link] = []
    for path in shown:
        if _covered(path, _COVERED):
            links.append(("%s/%d" % (_KEPT, len(links)), path))
            _bind(path, stage + links[-1][0])
        else:
            _show(path, stage)
    for path in hidden:
        if os.path.isdir(stage + path):
            syscalls.mount("none", stage + path, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV, "size=4k")
    own_proc = fresh_proc and mount_proc(stage + "/proc")
    if not own_proc:
        syscalls.mount("/proc", stage + "/proc", None, MS_BIND | MS_REC)
    os.chdir(stage)
    syscalls.pivot_root(".", ".old")
    os.chdir("/")
    syscalls.unmount("/.old")
    os.rmdir("/.old")
    # /tmp stays writable for what libraries leave there while they are preloaded; cells cover it.
    syscalls.mount("preload", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=64m")
    show_again(links)
    syscalls.mount("none", "/", None, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV)
    return own_proc, tuple(links)


def show_again(links: Sequence[Link]) -> None:
    """Binds what is kept to where it belongs, below a fresh tmpfs."""
    for kept, path in links:
        if os.path.isdir(kept):
            os.makedirs(path, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            _touch(path)
        syscalls.mount(kept, path, None, MS_BIND | MS_REC)


def _show(path: str, stage: str) -> None:
    if os.path.islink(path):
        os.makedirs(os.path.dirname(stage + path), exist_ok=True)
        os.symlink(os.readlink(path), stage + path)
        resolved = os.path.realpath(path)
        if not _covered(resolved, list(_SYSTEM)) and os.path.exists(resolved) and not os.path.lexists(stage + resolved):
            _bind(resolved, stage + resolved)
        return
    _bind(path, stage + path)


def _bind(path: str, target: str) -> None:
    if os.path.isdir(path):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        _touch(target)
    syscalls.mount(path, target, None, MS_BIND | MS_REC)
    syscalls.make_read_only(target)


def _touch(path: str) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))


def mount_proc(target: str) -> bool:
    """Mounts a /proc of the caller's PID namespace; returns whether the kernel let it."""
    try:
        syscalls.mount("proc", target, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    except OSError:
        return False
    return True


def enter_cell(disk_bytes: int, links: Sequence[Link], *, own_proc: bool) -> None:
    """Gives the calling process, alone in its mount namespace, the writable places of a cell.

    One tmpfs, so one limit, is what /tmp, /dev/shm and the working directory share.

    Args:
        disk_bytes: The size of that tmpfs.
        own_proc: Whether a /proc of the cell's own can be mounted; else an empty one covers the worker's.
        links: What `build` returned.
    """
    options = "mode=0700,size=%d,nr_inodes=%d" % (disk_bytes, _MAXIMUM_INODES)
    syscalls.mount("cell", _CELL, "tmpfs", MS_NOSUID | MS_NODEV, options)
    os.mkdir(WORK, 0o700)
    for name, target in (("tmp", "/tmp"), ("shm", "/dev/shm")):
        inside = _CELL + "/" + name
        os.mkdir(inside)
        os.chmod(inside, 0o1777)
        syscalls.mount(inside, target, None, MS_BIND)
    show_again(links)
    if own_proc:
        # The cell's first process is hidden: it shares its memory with the zygote, and through its oom_score_adj, which
        # belongs to whoever shares its uid, a sample would set the zygote's.
        syscalls.mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "hidepid=2")
    else:
        syscalls.mount("none", "/proc", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV, "size=4k")
    os.chdir(WORK)

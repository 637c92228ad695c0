"""A cell from inside: its first process, and what turns a child of that into the sample's process.

Every page that a forked process writes to is copied, and at about 2 us each those copies are most of what a cell
costs. So the first process builds the walls, forks, waits and says how it ended, and does nothing else: the agent,
which is warm, watches from outside. It never holds the tests, nor anything else that a sample must not find in the
memory it is forked from.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # typeshed leaves the C module out
import _socket
import fcntl
import gc
import json
import mmap
import os
import resource
import signal
import struct
import sys
import time
from socket import CMSG_SPACE, SCM_RIGHTS, SOL_SOCKET
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, NoReturn, Sequence

from . import files, harness
from .walls import capabilities, namespaces, root, seccomp, syscalls
from .walls import limits as resource_limits

if TYPE_CHECKING:
    from .blueprint import Blueprint

ENVIRONMENT = {
    "HOME": "/tmp", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "LOGNAME": "cupel",
    # The interpreter's own folder first: programs start "python" and mean the one they run in.
    "PATH": os.path.dirname(sys.executable) + ":/usr/local/bin:/usr/bin:/bin",
    "PYTHONHASHSEED": "0", "TMPDIR": "/tmp", "TZ": "UTC", "USER": "cupel",
}  # fmt: skip
"""What every sample finds in its environment. The zygote sets it, so that a cell has nothing left to change."""
INHERITED = ("MKL_NUM_THREADS", "MPLBACKEND", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_CPP_MIN_LOG_LEVEL",
             "TF_ENABLE_ONEDNN_OPTS")  # fmt: skip
"""What the zygote keeps of the environment that the agent was started with: it holds for every sample."""
BUILT, ENDED, FAILED = b"B", b"E", b"F"
"""The first byte of what a cell's first process tells the agent."""
_STATUS = struct.Struct(">iqqqqq")
_CHANNEL = 3
_MESSAGE_BYTES = 256
_MAXIMUM_DESCRIPTORS = 16
_STANDING = struct.Struct(">Bq")
_INTEGER = struct.Struct("i")
_TIME = struct.Struct(">q")
_ROOM_BYTES = CMSG_SPACE(4 * _MAXIMUM_DESCRIPTORS)
# Plain numbers, and the C classes behind `signal` and `socket`: theirs in Python make enums of what they return,
# and each object that a cell's process touches costs it a copied page.
_SIGTERM, _SIGKILL = int(signal.SIGTERM), int(signal.SIGKILL)


class Status(NamedTuple):
    """How a process of a sample ended, as the cell's first process saw it."""

    wait_status: int
    user_us: int
    system_us: int
    """CPU time of the process and all that it started, in microseconds."""
    peak_kib: int
    """Peak resident memory of the largest process, pages shared with the zygote included."""
    started_us: int
    """When its walls stood, by `now_us`; -1 if unknown."""
    ended_us: int

    @classmethod
    def unpack(cls, message: bytes) -> "Status":
        """Reads what follows ENDED."""
        return cls(*_STATUS.unpack(message))


def built(message: bytes) -> int:
    """Reads what follows BUILT: when the cell's first process was there, by `now_us`."""
    return int(_TIME.unpack(message)[0])


class Footprint(NamedTuple):
    """What a zygote occupies, which every process forked from it starts with."""

    anonymous_bytes: int
    data_bytes: int
    resident_bytes: int


def live(
    control_fd: int,
    folder: str,
    disk_bytes: int,
    blueprint: Blueprint,
    filter_program: Any,
    zygote: Footprint,
) -> None:
    """Builds the walls and runs what the agent asks for, until the agent closes its end.

    Args:
        control_fd: The socket to the agent: each message brings the descriptors of one process to run.
        folder: The name of the cell's own folder, where there are no namespaces.
        disk_bytes: The size of the cell's file system.
        blueprint: How cells are built.
        filter_program: The system-call filter, ready to install; None without.
        zygote: What the zygote occupied when it forked this process.
    """
    forked_us = now_us()
    control = _socket.socket(fileno=control_fd)
    # How the agent ends a cell: from here, so that what the sample used is still counted.
    _signal.signal(_SIGTERM, lambda *_: _kill_all(blueprint))
    try:
        work = _build(folder, disk_bytes, blueprint)
        place = os.open(work, os.O_PATH | os.O_DIRECTORY)
        control.sendmsg([BUILT, _TIME.pack(forked_us)], [(SOL_SOCKET, SCM_RIGHTS, _INTEGER.pack(place))])
        os.close(place)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        while True:
            descriptors = receive_descriptors(control)
            if not descriptors:
                return
            # Shared with the process to be: it says there that its walls stand, and then can reach it no more.
            standing = mmap.mmap(-1, 4096)
            pid = syscalls.clone(0)
            if pid == 0:
                control.close()
                _become_sample(descriptors, standing, work, blueprint, filter_program, zygote)
            for descriptor in descriptors:
                os.close(descriptor)
            status = _wait(pid, blueprint)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            stands, started_us = _STANDING.unpack_from(standing)
            if not stands:
                control.send(FAILED + standing[_STANDING.size :].rstrip(b"\0")[:200])
                return
            user_us = int((after.ru_utime - before.ru_utime) * 1e6)
            system_us = int((after.ru_stime - before.ru_stime) * 1e6)
            control.send(ENDED + _STATUS.pack(status, user_us, system_us, after.ru_maxrss, started_us, now_us()))
            standing.close()
            before = after
    except OSError as error:
        control.send(FAILED + str(error).encode("utf-8", "replace")[:200])


def receive_descriptors(control: _socket.socket) -> List[int]:
    """Waits for a message and returns the descriptors it brings; none at the end."""
    _, ancillary, _, _ = control.recvmsg(_MESSAGE_BYTES, _ROOM_BYTES)
    return [number for _, _, payload in ancillary for (number,) in _INTEGER.iter_unpack(payload)]


def _build(folder: str, disk_bytes: int, blueprint: Blueprint) -> str:
    if blueprint.namespaces:
        namespaces.enter(blueprint.outer_ids)
        root.enter_cell(disk_bytes, blueprint.links, own_proc=blueprint.own_proc)
        return root.WORK
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, _SIGKILL)
    syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
    work = os.path.join(blueprint.private_folder, folder)
    os.mkdir(work, 0o700)
    return work


def _wait(pid: int, blueprint: Blueprint) -> int:
    """Waits for the sample's process, ends everything it left behind, and returns its wait status."""
    status = 0
    while True:
        ended, its_status = os.waitpid(-1, 0)
        if ended == pid:
            status = its_status
            break
    while True:
        _kill_all(blueprint)
        try:
            while True:
                os.waitpid(-1, 0)
                if not blueprint.namespaces:
                    break  # its children are ours now
        except ChildProcessError:
            return status


def _kill_all(blueprint: Blueprint) -> None:
    if blueprint.namespaces:
        try:
            os.kill(-1, _SIGKILL)  # everybody in this PID namespace but its first process: the caller
        except ProcessLookupError:
            return
        return
    me = os.getpid()
    try:
        with open("/proc/%d/task/%d/children" % (me, me), encoding="ascii") as file:
            children = file.read().split()
    except OSError:
        return
    for child in children:
        try:
            os.kill(int(child), _SIGKILL)
        except ProcessLookupError:
            continue


def _become_sample(
    descriptors: Sequence[int],
    standing: mmap.mmap,
    work: str,
    blueprint: Blueprint,
    filter_program: Any,
    zygote: Footprint,
) -> NoReturn:
    """Takes away everything that the sample must not have, and hands over to the harness."""
    try:
        _signal.signal(_SIGTERM, _signal.SIG_DFL)
        os.setsid()
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, _SIGKILL)
        spec = _read_spec(descriptors[0])
        for descriptor in descriptors[5:]:
            os.write(descriptor, b"0")  # joins a cgroup
        if blueprint.own_proc:
            _set_out_of_memory_score(b"1000")
        for number, descriptor in enumerate([fcntl.fcntl(one, fcntl.F_DUPFD, 16) for one in descriptors[1:5]]):
            os.dup2(descriptor, number, inheritable=number < _CHANNEL)
        syscalls.close_range(_CHANNEL + 1, 0xFFFFFFFF)
        os.chdir(work)
        files.place(spec["program"].get("files", ()), work)
        for name, value in spec["env"].items():
            os.environ[name] = value
        if "TZ" in spec["env"]:
            time.tzset()
        resource_limits.apply(spec["limits"], zygote.data_bytes, own_user_namespace=blueprint.namespaces)
        capabilities.give_up()
        if filter_program is not None:
            seccomp.install(filter_program)
    except BaseException as error:  # whatever failed, the sample must not start without it
        words = ("%s: %s" % (type(error).__name__, error)).encode("utf-8", "replace")[:200]
        standing[_STANDING.size : _STANDING.size + len(words)] = words
        os._exit(1)
    _STANDING.pack_into(standing, 0, 1, now_us())
    standing.close()
    gc.enable()
    harness.enter(spec["kind"], spec["program"], _CHANNEL, spec["seed"])


def _read_spec(descriptor: int) -> Dict[str, Any]:
    size = os.lseek(descriptor, 0, os.SEEK_END)
    spec: Dict[str, Any] = json.loads(os.pread(descriptor, size, 0))
    return spec


def _set_out_of_memory_score(score: bytes) -> None:
    descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
    try:
        os.write(descriptor, score)
    finally:
        os.close(descriptor)


def now_us() -> int:
    """Returns the time of the clock that all processes of this machine share, in microseconds."""
    return time.monotonic_ns() // 1000

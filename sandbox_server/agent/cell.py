"""A cell from inside: how a process becomes the sample's.

Every page that a forked process writes to is copied, and at about 2 us each those copies are most of what a cell
costs. So there is one forked process for each sample, it does no more than it must, and the agent, which is warm,
watches from outside. It is forked from a zygote, which never holds tests or anything else of a sample.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # typeshed leaves the C module out
import _socket
import fcntl
import gc
import marshal
import os
import signal
import struct
import sys
import time
from socket import SCM_RIGHTS, SOL_SOCKET
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
INHERITED = (
    "MKL_NUM_THREADS",
    "MPLBACKEND",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_CPP_MIN_LOG_LEVEL",
    "TF_ENABLE_ONEDNN_OPTS",
)
"""What the zygote keeps of the environment that the agent was started with: it holds for every sample."""
PLACED, BUILT, FAILED = b"P", b"B", b"F"
"""The first byte of what a process that becomes a sample's tells the agent: where it is, and then its last word."""
# Descriptors of a process that becomes a sample's; it keeps those below _CONTROL.
_CHANNEL, _CONTROL, _SPEC, _FIRST, _JOINS = 3, 4, 5, 6, 7
_ABOVE = 32  # no number that is given out by `_keep_only`
_TIMES = struct.Struct(">qq")
_INTEGER = struct.Struct("i")
# Plain numbers, and the C classes behind `signal` and `socket`: theirs in Python make enums of what they return.
_SIGCHLD, _SIGKILL = int(signal.SIGCHLD), int(signal.SIGKILL)


class Given(NamedTuple):
    """The descriptors that the agent gives for one process, in the order in which they are sent."""

    control: int
    """A socket to the agent, closed before the sample is loaded."""
    spec: int
    stdin: int
    stdout: int
    stderr: int
    channel: int
    joins: Sequence[int]
    """Writing "0" to each joins a cgroup of the cell."""

    def numbers(self) -> List[int]:
        """Returns all of them, in order."""
        return [self.control, self.spec, self.stdin, self.stdout, self.stderr, self.channel, *self.joins]

    @classmethod
    def of(cls, numbers: Sequence[int]) -> "Given":
        """Returns what `numbers` was made of."""
        control, spec, stdin, stdout, stderr, channel = numbers[:6]
        return cls(control, spec, stdin, stdout, stderr, channel, numbers[6:])


class Footprint(NamedTuple):
    """What a zygote occupies, which every process forked from it starts with."""

    anonymous_bytes: int
    data_bytes: int
    virtual_bytes: int
    resident_bytes: int


class Place(NamedTuple):
    """Where a process becomes a sample's."""

    first: int
    """A pidfd of the cell's first process; -1 where there is none to join."""
    folder: str
    """The name of the cell's own folder, where it has no file view."""
    disk_bytes: int
    """The size of the cell's file system."""
    is_new: bool
    """Whether the cell has to be built; else another process of it has been here before."""


def times(message: bytes) -> "tuple[int, int]":
    """Reads what follows BUILT: when the process was forked, and when its walls stood, by `now_us`."""
    forked_us, started_us = _TIMES.unpack(message)
    return forked_us, started_us


def now_us() -> int:
    """Returns the time of the clock that all processes of this machine share, in microseconds."""
    return time.monotonic_ns() // 1000


def become_sample(given: Given, place: Place, blueprint: Blueprint, filter_program: Any, zygote: Footprint) -> NoReturn:
    """Builds or joins the cell, takes away everything that a sample must not have, and hands over to the harness.

    Args:
        given: What the agent gives.
        place: Where.
        blueprint: How cells are built.
        filter_program: The system-call filter, ready to install; None without.
        zygote: What the zygote occupied when it forked this process.
    """
    forked_us = now_us()
    try:
        _keep_only(
            (given.stdin, given.stdout, given.stderr, given.channel, given.control, given.spec, place.first),
            given.joins,
        )
        control = _socket.socket(fileno=_CONTROL)
        try:
            spec = _build(control, len(given.joins), place, blueprint, filter_program, zygote)
        except BaseException as error:  # whatever failed, the sample must not start without it
            words = "%s: %s" % (type(error).__name__, error)
            os.write(_CONTROL, FAILED + words.encode("utf-8", "replace")[:200])
            os._exit(1)
        # The agent's only proof that the walls stand. The socket is gone before a byte of the sample is loaded, so
        # that no sample can say, or unsay, it.
        control.send(BUILT + _TIMES.pack(forked_us, now_us()))
        syscalls.close_range(_CONTROL, 0xFFFFFFFF)
        control.detach()
        gc.enable()
        harness.enter(spec["kind"], spec["program"], _CHANNEL, spec["seed"])
    finally:
        os._exit(1)  # nothing may ever return into the zygote's code


def _build(
    control: _socket.socket, joins: int, place: Place, blueprint: Blueprint, filter_program: Any, zygote: Footprint
) -> Dict[str, Any]:
    """Makes the caller what a sample's process has to be, passes its working directory on, and returns what to run."""
    _signal.set_wakeup_fd(-1)
    _signal.signal(_SIGCHLD, _signal.SIG_DFL)
    os.setsid()
    for descriptor in range(_JOINS, _JOINS + joins):
        os.write(descriptor, b"0")
    work = _enter(place, blueprint)
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)  # joining namespaces cleared it, and /proc/self with it
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, _SIGKILL)
    if blueprint.own_proc:
        _set_out_of_memory_score(b"1000")
    spec = _read_spec()
    os.chdir(work)
    files.place(spec["program"].get("files", ()), work)
    for name, value in spec["env"].items():
        os.environ[name] = value
    if "TZ" in spec["env"]:
        time.tzset()
    here = os.open(".", os.O_PATH | os.O_DIRECTORY)
    # Before the limits: descriptors under way count for all processes of a user together, samples' own among them,
    # and above the sender's RLIMIT_NOFILE the kernel refuses to pass any.
    control.sendmsg([PLACED], [(SOL_SOCKET, SCM_RIGHTS, _INTEGER.pack(here))])
    baseline_bytes = zygote.data_bytes if blueprint.data_limit else zygote.virtual_bytes
    resource_limits.apply(
        spec["limits"], baseline_bytes, data_limit=blueprint.data_limit, own_user_namespace=blueprint.namespaces
    )
    capabilities.give_up()
    if filter_program is not None:
        seccomp.install(filter_program)
    return spec


def _enter(place: Place, blueprint: Blueprint) -> str:
    """Builds the cell around the caller, or joins it; returns the working directory."""
    if not blueprint.file_view:
        if blueprint.namespaces:
            namespaces.furnish()
        work = os.path.join(blueprint.private_folder, place.folder)
        if place.is_new:
            os.mkdir(work, 0o700)
        return work
    namespaces.join(_FIRST)
    if place.is_new:
        namespaces.furnish()
        root.enter_cell(place.disk_bytes, blueprint.links, own_proc=blueprint.own_proc)
    else:
        _end_others()
    return root.WORK


def _end_others() -> None:
    """Ends what an earlier process of this cell has left: everybody but the caller and the first process."""
    try:
        os.kill(-1, _SIGKILL)
    except ProcessLookupError:
        return


def _keep_only(descriptors: Sequence[int], joins: Sequence[int]) -> None:
    """Numbers descriptors from 0 in their order, -1 leaving a gap, then the joins; closes all others."""
    wanted = [*descriptors, *joins]
    copies = [fcntl.fcntl(one, fcntl.F_DUPFD, _ABOVE) if one >= 0 else -1 for one in wanted]
    for number, descriptor in enumerate(copies):
        if descriptor >= 0:
            os.dup2(descriptor, number, inheritable=number < _CHANNEL)
    syscalls.close_range(len(wanted), 0xFFFFFFFF)


def _read_spec() -> Dict[str, Any]:
    """Reads what the agent, whose interpreter this is, has written."""
    size = os.lseek(_SPEC, 0, os.SEEK_END)
    spec: Dict[str, Any] = marshal.loads(os.pread(_SPEC, size, 0))  # noqa: S302  # not a byte of it is a sample's
    return spec


def _set_out_of_memory_score(score: bytes) -> None:
    descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
    try:
        os.write(descriptor, score)
    finally:
        os.close(descriptor)

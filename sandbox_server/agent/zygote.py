"""A zygote: a process that has imported a set of libraries, and forks cells.

It never sees a sample: the agent hands it sockets, and what is to run goes through those to the cell's own
processes. So nothing of one sample can be found in the memory of another, and the zygote has nothing to parse that
a sample could have written.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # typeshed leaves the C module out
import gc
import importlib
import os
import select
import signal
import socket
import struct
import sys
import traceback
from typing import TYPE_CHECKING, Any, Dict, NamedTuple, NoReturn, Optional, Sequence

from . import cell, tree
from .walls import namespaces, seccomp, syscalls

if TYPE_CHECKING:
    from .blueprint import Blueprint

_REQUEST = struct.Struct(">cqq")  # FORK, END or KILL, number of the cell, size of its file system in bytes
_NOTICE = struct.Struct(">cqqqqq")  # FORKED or ENDED, number, pid or wait status, user and system us, peak KiB
_FORK, _END, _KILL = b"F", b"T", b"K"
_FORKED, _ENDED = b"F", b"E"
_SIGCHLD = int(signal.SIGCHLD)


class Notice(NamedTuple):
    """What a zygote tells of one of its cells."""

    ended: bool
    number: int
    pid: int
    """The first process of a cell that was forked; -1 when it could not be."""
    status: int
    """The wait status of a cell that ended."""
    user_us: int
    system_us: int
    peak_kib: int


def start(modules: Sequence[str], blueprint: Blueprint, keep: Sequence[int]) -> "tuple[int, socket.socket]":
    """Forks a zygote that imports modules; returns its pid and the socket to it.

    Requests may be sent at once: they wait in the socket until the modules are there.

    Args:
        modules: What to import. One that cannot be imported is left out.
        blueprint: How cells are built.
        keep: Descriptors that the zygote must not have, being the agent's own.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        try:
            ours.close()
            _serve(theirs, modules, blueprint, keep)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(1)
    theirs.close()
    return pid, ours


def request(control: socket.socket, number: int, disk_bytes: int, cell_control: int) -> None:
    """Asks a zygote to fork a cell and to give it its socket to the agent."""
    passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", cell_control))]
    control.sendmsg([_REQUEST.pack(_FORK, number, disk_bytes)], passed)


def kill(control: socket.socket, number: int, *, at_once: bool = False) -> None:
    """Asks a zygote to end a cell. Only a parent can do so without ever hitting a stranger with a reused pid.

    Args:
        control: The socket to the zygote.
        number: The cell.
        at_once: Whether not even its first process gets to say how it ended.
    """
    control.send(_REQUEST.pack(_KILL if at_once else _END, number, 0))


def notice(control: socket.socket) -> Optional[Notice]:
    """Reads what a zygote tells; None when it is gone."""
    data = control.recv(_NOTICE.size)
    if len(data) < _NOTICE.size:
        return None
    what, number, value, user_us, system_us, peak_kib = _NOTICE.unpack(data)
    ended = what == _ENDED
    return Notice(ended, number, -1 if ended else value, value if ended else 0, user_us, system_us, peak_kib)


def _preload(modules: Sequence[str]) -> None:
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception as error:  # a profile is an optimisation: a sample that needs the module says so itself
            sys.stderr.write("preload of %s failed: %s\n" % (name, error))
            sys.stderr.flush()


def _serve(control: socket.socket, modules: Sequence[str], blueprint: Blueprint, keep: Sequence[int]) -> NoReturn:
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    for descriptor in (null, *keep):
        os.close(descriptor)
    inherited = {name: os.environ[name] for name in cell.INHERITED if name in os.environ}
    os.environ.clear()
    os.environ.update({**inherited, **cell.ENVIRONMENT})
    os.umask(0o022)
    _preload(modules)
    filter_program, _memory = seccomp.compiled(sampled=not blueprint.cgroups) if blueprint.seccomp else (None, None)
    gc.collect()
    gc.disable()  # a collection in the zygote would touch, and so copy, every page shared with cells
    gc.freeze()
    footprint = cell.Footprint(tree.anonymous_bytes(), tree.data_bytes(), tree.resident_bytes())
    children: Dict[int, int] = {}
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, _wake)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(wake_read, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == wake_read:
                _drain(wake_read)
                _reap(children, control)
                continue
            data, ancillary, _, _ = control.recvmsg(_REQUEST.size, socket.CMSG_SPACE(4))
            if not data:
                os._exit(0)  # the agent is gone
            what, number, disk_bytes = _REQUEST.unpack(data)
            if what != _FORK:
                _signal_cell(children, number, signal.SIGKILL if what == _KILL else signal.SIGTERM)
                continue
            (cell_control,) = struct.unpack("i", ancillary[0][2])
            pid = _fork(blueprint)
            if pid == 0:
                _live(cell_control, number, disk_bytes, blueprint, filter_program, footprint)
            os.close(cell_control)
            if pid > 0:
                children[pid] = number
            control.send(_NOTICE.pack(_FORKED, number, pid, 0, 0, 0))


def _wake(_number: int, _frame: Any) -> None:
    """Lets a signal wake the poll; without a handler of Python's own it would not."""


def _fork(blueprint: Blueprint) -> int:
    try:
        return syscalls.clone(namespaces.CLONED if blueprint.namespaces else 0)
    except OSError as error:
        sys.stderr.write("cannot fork a cell: %s\n" % error)
        sys.stderr.flush()
        return -1


def _live(
    control: int,
    number: int,
    disk_bytes: int,
    blueprint: Blueprint,
    filter_program: Any,
    footprint: cell.Footprint,
) -> NoReturn:
    """Becomes the first process of a cell, and ends with it."""
    status = 1
    try:
        # _signal and not signal, which makes enums of what it returns and so costs copied pages.
        _signal.set_wakeup_fd(-1)
        _signal.signal(_SIGCHLD, _signal.SIG_DFL)
        syscalls.close_range(3, control - 1)
        syscalls.close_range(control + 1, 0xFFFFFFFF)
        cell.live(control, "cell%d" % number, disk_bytes, blueprint, filter_program, footprint)
        status = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 512):
            continue
    except BlockingIOError:
        return


def _reap(children: Dict[int, int], control: socket.socket) -> None:
    while children:
        pid, status, usage = os.wait4(-1, os.WNOHANG)
        if pid == 0:
            return
        number = children.pop(pid, None)
        if number is not None:
            user_us, system_us = int(usage.ru_utime * 1e6), int(usage.ru_stime * 1e6)
            control.send(_NOTICE.pack(_ENDED, number, status, user_us, system_us, usage.ru_maxrss))


def _signal_cell(children: Dict[int, int], number: int, signal_number: int) -> None:
    for pid, cell_number in children.items():
        if cell_number == number:
            os.kill(pid, signal_number)

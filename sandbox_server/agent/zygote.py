"""A zygote: a process that has imported a set of libraries, and forks what becomes samples.

It never sees a sample: the agent hands it descriptors, and what is to run goes through those to the cell's own
process. So nothing of one sample can be found in the memory of another, and the zygote has nothing to parse that a
sample could have written.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # typeshed leaves the C module out
import ctypes
import gc
import importlib
import os
import select
import signal
import socket
import struct
import sys
import traceback
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, NoReturn, Optional, Sequence, Tuple

from . import cell, harness, tree
from .walls import namespaces, seccomp, syscalls

if TYPE_CHECKING:
    from .blueprint import Blueprint

_REQUEST = struct.Struct(">cqqB")  # what, number of the cell, size of its file system, whether more will follow
_NOTICE = struct.Struct(">cqqqqqqq")  # what, number, first process, pid or status, user us, system us, peak KiB, when
_START, _NEXT, _END = b"S", b"N", b"E"
FORKED, ENDED, GONE = b"f", b"e", b"g"
"""What a notice is of: a process that was forked, one that ended, a cell of which nothing is left."""
_MAXIMUM_DESCRIPTORS = 16
_FRAMEWORK = "unittest"
_STACK_BYTES = 16384
_INTEGER = struct.Struct("i")
_SIGCHLD, _SIGKILL, _SIG_BLOCK = int(signal.SIGCHLD), int(signal.SIGKILL), int(signal.SIG_BLOCK)
_SIG_SETMASK = int(signal.SIG_SETMASK)
_ALL_SIGNALS = [int(number) for number in signal.valid_signals()]


class Notice(NamedTuple):
    """What a zygote tells of one of its cells."""

    what: bytes
    number: int
    first: int
    """The cell's first process; -1 where there is none but the sample's, or if it could not be started."""
    value: int
    """The pid of a process that was forked, -1 if it could not be; the wait status of one that ended."""
    user_us: int
    system_us: int
    """CPU time of the process and all that it waited for."""
    peak_kib: int
    """Peak resident memory of the largest process, pages shared with the zygote included."""
    when_us: int
    """When the zygote knew, by `cell.now_us`."""


class _Cell:
    """A cell, from its zygote."""

    __slots__ = ("disk_bytes", "ending", "first", "first_fd", "is_last", "number", "pid", "stack")

    def __init__(self, number: int, disk_bytes: int) -> None:
        self.number = number
        self.disk_bytes = disk_bytes
        self.first = self.first_fd = self.pid = self.stack = -1
        self.is_last = self.ending = False


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
            _become_zygote(keep)
            Zygote(theirs, modules, blueprint).serve()
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(1)
    theirs.close()
    return pid, ours


def request(
    control: socket.socket, number: int, disk_bytes: int, given: cell.Given, *, is_new: bool, is_last: bool
) -> None:
    """Asks a zygote for a process in a cell.

    Args:
        control: The socket to the zygote.
        number: The cell.
        disk_bytes: The size of its file system.
        given: What the process is given.
        is_new: Whether the cell has to be made, too.
        is_last: Whether the cell ends with this process.
    """
    what = _START if is_new else _NEXT
    descriptors = given.numbers()
    passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("%di" % len(descriptors), *descriptors))]
    control.sendmsg([_REQUEST.pack(what, number, disk_bytes, is_last)], passed)


def end(control: socket.socket, number: int) -> None:
    """Asks a zygote to end a cell. Only a parent can do so without ever hitting a stranger with a reused pid."""
    control.send(_REQUEST.pack(_END, number, 0, 1))


def notice(control: socket.socket) -> Optional[Notice]:
    """Reads what a zygote tells; None when it is gone."""
    try:
        data = control.recv(_NOTICE.size)
    except ConnectionResetError:  # it died with requests unread
        return None
    return Notice(*_NOTICE.unpack(data)) if len(data) == _NOTICE.size else None


def _become_zygote(keep: Sequence[int]) -> None:
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, _SIGKILL)
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    for descriptor in (null, *keep):
        os.close(descriptor)
    inherited = {name: os.environ[name] for name in cell.INHERITED if name in os.environ}
    os.environ.clear()
    os.environ.update({**inherited, **cell.ENVIRONMENT})
    os.umask(0o022)


class Zygote:
    """The zygote itself.

    Args:
        control: The socket to the agent.
        modules: What to import.
        blueprint: How cells are built.
    """

    def __init__(self, control: socket.socket, modules: Sequence[str], blueprint: Blueprint) -> None:
        self._control = control
        self._blueprint = blueprint
        self._cells: Dict[int, _Cell] = {}
        self._by_pid: Dict[int, _Cell] = {}
        self._stacks: List[int] = []
        self._stack_memory: List[Any] = []
        self._own_pids = os.open("/proc/self/ns/pid", os.O_RDONLY) if blueprint.file_view else -1
        if not blueprint.namespaces:
            # What a sample leaves behind comes to us, so that it can be ended.
            syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        _preload(modules)
        filter_program, self._filter_memory = None, None
        if blueprint.seccomp:
            filter_program, self._filter_memory = seccomp.compiled(sampled=not blueprint.cgroups)
        self._filter = filter_program
        harness.prepare(framework=_FRAMEWORK in modules)
        gc.collect()
        gc.disable()  # a collection in the zygote would touch, and so copy, every page shared with cells
        gc.freeze()
        self._footprint = cell.Footprint(
            tree.anonymous_bytes(), tree.data_bytes(), tree.virtual_bytes(), tree.resident_bytes()
        )

    def serve(self) -> NoReturn:
        """Forks what the agent asks for and tells how it ended, until the agent is gone."""
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_read, False)
        os.set_blocking(wake_write, False)
        signal.signal(signal.SIGCHLD, _wake)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(wake_read, select.POLLIN)
        room = socket.CMSG_SPACE(4 * _MAXIMUM_DESCRIPTORS)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == wake_read:
                    _drain(wake_read)
                    self._reap()
                    continue
                data, ancillary, _, _ = self._control.recvmsg(_REQUEST.size, room)
                if not data:
                    os._exit(0)  # the agent is gone
                given = [number for _, _, payload in ancillary for (number,) in _INTEGER.iter_unpack(payload)]
                self._obey(_REQUEST.unpack(data), given)
                for number in given:
                    os.close(number)

    def _obey(self, words: Tuple[Any, ...], given: List[int]) -> None:
        what, number, disk_bytes, is_last = words
        one = self._cells.get(number)
        if what == _END:
            if one is not None:
                self._end(one)
            return
        is_new = what == _START
        if is_new:
            one = self._cells[number] = _Cell(number, disk_bytes)
        if one is None or one.ending:
            return  # it was ended meanwhile; the notice of that is under way
        one.is_last = bool(is_last)
        try:
            if is_new and self._blueprint.file_view:
                self._start_first_process(one)
            one.pid = self._fork(one, given, is_new=is_new)
        except OSError as error:
            sys.stderr.write("cannot make a cell: %s\n" % error)
            sys.stderr.flush()
            self._tell(FORKED, one, -1)
            self._end(one)
            return
        self._by_pid[one.pid] = one
        self._tell(FORKED, one, one.pid)

    def _start_first_process(self, one: _Cell) -> None:
        if not self._stacks:
            memory = ctypes.create_string_buffer(_STACK_BYTES)
            self._stack_memory.append(memory)
            self._stacks.append((ctypes.addressof(memory) + _STACK_BYTES) & ~15)
        mask = _signal.pthread_sigmask(_SIG_BLOCK, _ALL_SIGNALS)
        try:
            one.first = namespaces.start_first_process(self._stacks[-1])
        finally:
            _signal.pthread_sigmask(_SIG_SETMASK, mask)
        one.stack = self._stacks.pop()
        self._by_pid[one.first] = one
        one.first_fd = syscalls.pidfd_open(one.first)

    def _fork(self, one: _Cell, given: List[int], *, is_new: bool) -> int:
        if one.first_fd >= 0:
            syscalls.setns(one.first_fd, syscalls.CLONE_NEWPID)  # our next child is born there
        try:
            alone = self._blueprint.namespaces and one.first_fd < 0
            pid = namespaces.start_alone(self._blueprint.cell_ids) if alone else syscalls.clone(0)
            if pid == 0:
                place = cell.Place(one.first_fd, "cell%d" % one.number, one.disk_bytes, is_new)
                descriptors = cell.Given.of(given)
                cell.become_sample(descriptors, place, self._blueprint, self._filter, self._footprint)
        finally:
            if one.first_fd >= 0:
                syscalls.setns(self._own_pids, syscalls.CLONE_NEWPID)
        return pid

    def _end(self, one: _Cell) -> None:
        """Ends everything in a cell: with its first process the kernel ends all others."""
        one.ending = True
        if one.first >= 0:
            os.kill(one.first, _SIGKILL)
        elif one.pid >= 0:
            # In a PID namespace it is the first process, with which the kernel ends all others.
            below = [] if self._blueprint.namespaces else tree.descendants(one.pid)
            for pid in [*below, one.pid]:
                _kill(pid)
        else:
            self._forget(one)

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            one = self._by_pid.pop(pid, None)
            if one is None:
                continue  # left behind by a sample, where there are no namespaces
            if pid == one.first:
                one.first = -1
                if one.pid < 0:
                    self._forget(one)
                continue
            one.pid = -1
            user_us, system_us = int(usage.ru_utime * 1e6), int(usage.ru_stime * 1e6)
            self._tell(ENDED, one, status, user_us, system_us, usage.ru_maxrss)
            self._after(one)

    def _after(self, one: _Cell) -> None:
        """Ends a cell whose process has ended, unless another one will follow."""
        if not self._blueprint.namespaces:
            known = {other.pid for other in self._cells.values()}
            for stray in tree.children(os.getpid()):
                if stray not in known:
                    _kill(stray)
        if one.first < 0:
            if one.is_last or one.ending:
                self._forget(one)
        elif one.is_last and not one.ending:
            self._end(one)

    def _forget(self, one: _Cell) -> None:
        if one.first_fd >= 0:
            os.close(one.first_fd)
            self._stacks.append(one.stack)
        del self._cells[one.number]
        self._tell(GONE, one, 0)

    def _tell(
        self, what: bytes, one: _Cell, value: int, user_us: int = 0, system_us: int = 0, peak_kib: int = 0
    ) -> None:
        words = (what, one.number, one.first, value, user_us, system_us, peak_kib, cell.now_us())
        self._control.send(_NOTICE.pack(*words))


def _preload(modules: Sequence[str]) -> None:
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception as error:  # a profile is an optimisation: a sample that needs the module says so itself
            sys.stderr.write("preload of %s failed: %s\n" % (name, error))
            sys.stderr.flush()


def _wake(_number: int, _frame: Any) -> None:
    """Lets a signal wake the poll; without a handler of Python's own it would not."""


def _kill(pid: int) -> None:
    try:
        os.kill(pid, _SIGKILL)
    except ProcessLookupError:
        return


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 512):
            continue
    except BlockingIOError:
        return

"""A zygote: a process that has imported a set of libraries, and forks cells.

It never sees a sample: the agent hands it sockets, and what is to run goes through those to the cell's own first
process. So nothing of one sample can be found in the memory of another, and the zygote has nothing to parse that a
sample could have written.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import traceback
from typing import Any, Dict, List, NoReturn, Optional, Sequence

from . import cell, protocol, tree
from .blueprint import Blueprint
from .walls import namespaces, seccomp, syscalls

_MESSAGE_BYTES = 4096
_DESCRIPTORS = 8


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
        finally:
            os._exit(1)
    theirs.close()
    return pid, ours


def request(control: socket.socket, cell_number: int, descriptors: Sequence[int]) -> None:
    """Asks a zygote to fork a cell: its socket to the agent, its memory events, what joins its cgroups."""
    socket_descriptors = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, b"".join(d.to_bytes(4, sys.byteorder) for d in descriptors))]
    control.sendmsg([json.dumps({"cell": cell_number}).encode("ascii")], socket_descriptors)


def kill(control: socket.socket, cell_number: int) -> None:
    """Asks a zygote to kill a cell. Only a parent can do so without ever hitting a stranger with a reused pid."""
    control.send(json.dumps({"kill": cell_number}).encode("ascii"))


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
    for descriptor in keep:
        os.close(descriptor)
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
    signal.signal(signal.SIGCHLD, lambda *_: None)
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
            message, descriptors = _receive(control)
            if message is None:
                os._exit(0)  # the agent is gone
            if "kill" in message:
                _kill(children, message["kill"])
                continue
            pid = _fork(blueprint, control)
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                gc.enable()
                _live(descriptors, blueprint, filter_program, footprint)
            if pid is not None:
                children[pid] = message["cell"]
            for number in descriptors:
                os.close(number)


def _fork(blueprint: Blueprint, control: socket.socket) -> Optional[int]:
    try:
        return syscalls.clone(namespaces.CLONED) if blueprint.namespaces else os.fork()
    except OSError as error:
        # The cell's socket closes unanswered, which tells the agent; the words go to its log.
        sys.stderr.write("cannot fork a cell: %s\n" % error)
        sys.stderr.flush()
        return None


def _live(descriptors: Sequence[int], blueprint: Blueprint, filter_program: Any, footprint: cell.Footprint) -> NoReturn:
    """Becomes the first process of a cell, and ends with it."""
    status = 1
    try:
        syscalls.close_all_but((0, 1, 2, *descriptors))
        stream = protocol.Stream(descriptors[0], descriptors[0], protocol.MAXIMUM_DOWN_BYTES)
        cell.Cell(stream, descriptors[1:], blueprint, filter_program, footprint).live()
        status = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _receive(control: socket.socket) -> "tuple[Optional[Dict[str, Any]], List[int]]":
    data, ancillary, _, _ = control.recvmsg(_MESSAGE_BYTES, socket.CMSG_SPACE(4 * _DESCRIPTORS))
    descriptors: List[int] = []
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            usable = len(payload) - len(payload) % 4
            descriptors += [int.from_bytes(payload[at : at + 4], sys.byteorder) for at in range(0, usable, 4)]
    return (json.loads(data) if data else None), descriptors


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 512):
            continue
    except BlockingIOError:
        return


def _reap(children: Dict[int, int], control: socket.socket) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        number = children.pop(pid, None)
        if number is not None:
            control.send(json.dumps({"ended": number, "status": status}).encode("ascii"))


def _kill(children: Dict[int, int], number: int) -> None:
    for pid, cell_number in children.items():
        if cell_number == number:
            os.kill(pid, signal.SIGKILL)

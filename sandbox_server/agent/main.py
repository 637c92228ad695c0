"""The agent: reads what to run, has zygotes fork cells for it, and sends back the facts.

One thread, one poll loop; what takes time happens in the cells. This module starts the agent; `loop` is the loop.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import traceback
from typing import Any, Dict, NoReturn, Optional

from . import loop, protocol, tree, worker
from .walls import syscalls

_CANNOT_BUILD = 77
"""The exit status by which the agent inside its namespaces says that they could not be built."""


def run() -> int:
    """Runs the agent over standard input and output until the input ends; returns the exit code."""
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    stream = _take_standard_streams()
    hello = stream.receive_one()
    if hello is None:
        return 0
    # Both belong to what the server decides, not to whoever runs it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    # What a sample leaves behind where there is no PID namespace comes to us when the agent is gone.
    syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
    # Descriptors under way between processes count for a user as a whole: the agent's must stay above the samples'.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    reason = _run_walled(stream, hello)
    if reason is None:
        return 0
    if not hello.get("allow_weak"):
        stream.send({"op": "failed", "reason": "WALL_MISSING", "message": reason})
        return 1
    _run_weak(stream, hello)
    return 0


def _leave(_number: int, _frame: Any) -> NoReturn:
    """Ends by the way of all `finally` clauses: what stands outside the cells has to be removed."""
    raise SystemExit(0)


def _end_all() -> None:
    """Ends every process below the caller, which must be their subreaper, and returns when none is left."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        for pid in tree.descendants(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _take_standard_streams() -> protocol.Stream:
    """Moves the frames off descriptors 0 and 1, where a stray print would break them."""
    read_fd, write_fd = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    return protocol.Stream(read_fd, write_fd, protocol.MAXIMUM_DOWN_BYTES)


def _run_walled(stream: protocol.Stream, hello: Dict[str, Any]) -> Optional[str]:
    """Runs the agent in namespaces of its own; returns None when it is done, or why it could not."""
    outer = (os.geteuid(), os.getegid())
    told_read, told_write = os.pipe()
    site: Optional[worker.Site] = None
    try:
        site = worker.prepare(hello, weak=False)
        pid, user_namespace = worker.fork_with_namespaces()
        if pid == 0:
            os.close(told_read)
            _be_walled(stream, hello, site, outer, told_write, user_namespace=user_namespace)
        os.close(told_write)
        told_write = -1
        with open(told_read, "rb", closefd=False) as file:
            message = file.read().decode("utf-8", "replace")
        _, status = os.waitpid(pid, 0)
    except OSError as error:
        return "namespaces are forbidden here: %s" % error
    finally:
        _end_all()
        for descriptor in (told_read, told_write):
            if descriptor >= 0:
                os.close(descriptor)
        if site is not None:
            site.clear()
    return message if os.WIFEXITED(status) and os.WEXITSTATUS(status) == _CANNOT_BUILD else None


def _be_walled(
    stream: protocol.Stream,
    hello: Dict[str, Any],
    site: worker.Site,
    outer: "tuple[int, int]",
    told: int,
    *,
    user_namespace: bool,
) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    code = 1
    try:
        built = worker.enclose(hello, site, outer, user_namespace=user_namespace)
    except OSError as error:
        os.write(told, str(error).encode("utf-8", "replace"))
        os._exit(_CANNOT_BUILD)
    try:
        os.close(told)
        loop.Agent(stream, hello, built).serve()
        code = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _run_weak(stream: protocol.Stream, hello: Dict[str, Any]) -> None:
    """Runs the agent without namespaces, in a child, so that what it leaves can be removed."""
    signal.signal(signal.SIGTERM, _leave)
    site = worker.prepare(hello, weak=True)
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        code = 1
        try:
            loop.Agent(stream, hello, worker.do_without(site)).serve()
            code = 0
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)
    try:
        os.waitpid(pid, 0)
    finally:
        _end_all()
        site.clear()

"""A cell that was started, from outside: its sockets, its runs, its end."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import struct
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional

from . import cell, protocol, stdio, tree, zygote
from .files import collect
from .supervisor import Run, memory_file

if TYPE_CHECKING:
    from .blueprint import Blueprint
    from .walls import cgroup

Finish = Callable[[Dict[str, Any]], None]
_MESSAGE_BYTES = 256
# How long a cell may take to be built, and to be gone once it was told to end, before the agent kills it.
_BUILD_S, _END_S = 60.0, 10.0


class StartedCell:
    """One cell, from outside.

    Args:
        number: The server's number for it.
        spec: What to run, as in the agent's protocol.
        blueprint: How cells are built.
        group: Its cgroup; None without.
        zygote_pid: The zygote that forks it.
        loop: The agent's loop, for `watch` and `forget`.
        finish: Takes the facts.
    """

    def __init__(
        self,
        number: int,
        spec: Dict[str, Any],
        blueprint: Blueprint,
        group: Optional[cgroup.Group],
        zygote_pid: int,
        loop: Any,
        finish: Finish,
    ) -> None:
        self.number = number
        self.group = group
        self.zygote_pid = zygote_pid
        self.finish = finish
        self.pid = -1
        self.next_event = time.monotonic() + _BUILD_S
        self._received_us = cell.now_us()
        self._forked_us = self._first_start_us = -1
        self._spec = spec
        self._limits = spec["limits"]
        self._blueprint = blueprint
        self._loop = loop
        self._zygote_control: Optional[socket.socket] = None
        self._control, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._cases = stdio.Cases(spec["tests"], self._limits) if spec["kind"] == "stdio" else None
        self._place = self._memory_events = self._spec_fd = -1
        self._run: Optional[Run] = None
        self._cpu_before_s = 0.0
        self._failure = ""
        self._facts: Optional[Dict[str, Any]] = None
        self._killed = self._cancelled = False

    def descriptors(self) -> List[int]:
        """Returns the descriptors that nobody else may hold."""
        found = [
            self._control.fileno(),
            self._theirs.fileno(),
            self._place,
            self._memory_events,
            self._spec_fd,
        ]
        if self._run is not None:
            found += [self._run.stdout, self._run.stderr, self._run.channel.fileno(), *self._run.given]
        return [descriptor for descriptor in found if descriptor >= 0]

    # Start

    def start(self, zygote_control: socket.socket) -> None:
        """Has the cell forked and its first run waiting for it."""
        self._zygote_control = zygote_control
        if self.group is not None:
            self._memory_events = self.group.open_events()
        inside = {name: self._spec[name] for name in ("kind", "program", "limits", "env", "seed")}
        self._spec_fd = memory_file("spec", json.dumps(inside).encode("utf-8", "surrogatepass"))
        self._loop.watch(self._control.fileno(), select.POLLIN, self._on_control)
        self._begin_run()
        zygote.request(zygote_control, self.number, self._limits["disk_bytes"], self._theirs.fileno())
        self._theirs.close()

    def _begin_run(self) -> None:
        """Hands the cell what its next process needs: descriptors, and nothing else."""
        stdin: Optional[bytes] = None
        kept_bytes = self._limits["captured_bytes"]
        if self._cases is not None:
            case = self._cases.next_case()
            if case is None:
                self._control.shutdown(socket.SHUT_WR)
                return
            stdin, kept_bytes = case
        elif self._spec["program"].get("stdin_b64"):
            stdin = protocol.unb64(self._spec["program"]["stdin_b64"])
        tests = self._spec["tests"] if self._cases is None else {}
        run = self._run = Run(self._limits, self._blueprint, kept_bytes, tests, stdin)
        joins = self.group.open_for_joining() if self.group is not None else []
        passed = [self._spec_fd, *run.given, *joins]
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("%di" % len(passed), *passed))]
        self._control.sendmsg([b"R"], rights)
        run.hand_over()
        for descriptor in joins:
            os.close(descriptor)
        self._loop.watch(run.stdout, select.POLLIN, lambda _: self._on_output(run, run.stdout))
        self._loop.watch(run.stderr, select.POLLIN, lambda _: self._on_output(run, run.stderr))
        self._loop.watch(run.channel.fileno(), select.POLLIN, lambda events: self._on_channel(run, events))
        if self._forked_us >= 0:
            self._start_clock()

    def _start_clock(self) -> None:
        assert self._run is not None
        self._run.start()
        self._arm()

    def _arm(self) -> None:
        if self._run is not None and not self._killed:
            self.next_event = self._run.next_event

    # Events

    def _on_output(self, run: Run, descriptor: int) -> None:
        if not run.read_output(descriptor):
            self._loop.forget(descriptor)
        self._kill_if_over(run)

    def _on_channel(self, run: Run, events: int) -> None:
        descriptor = run.channel.fileno()
        if events & select.POLLOUT:
            run.write_channel()
        if events & ~select.POLLOUT and not run.read_channel():
            self._loop.forget(descriptor)
            return
        wanted = select.POLLIN | (select.POLLOUT if run.wants_to_write else 0)
        self._loop.watch(descriptor, wanted, lambda later: self._on_channel(run, later))

    def _on_control(self, _: int) -> None:
        message, ancillary, _, _ = self._control.recvmsg(_MESSAGE_BYTES, socket.CMSG_SPACE(4))
        what, rest = message[:1], message[1:]
        if what == cell.BUILT:
            self._forked_us = cell.built(rest)
            self._place = struct.unpack("i", ancillary[0][2])[0]
            if not self._killed:
                self._start_clock()
        elif what == cell.ENDED:
            self._end_run(cell.Status.unpack(rest))
        elif what == cell.FAILED:
            self._failure = rest.decode("utf-8", "replace")
            self._control.shutdown(socket.SHUT_WR)
        else:
            self._loop.forget(self._control.fileno())  # the end: the zygote's notice follows

    def look(self) -> None:
        """Compares what the sample uses with its limits; called when `next_event` has come."""
        run = self._run
        if self._killed or run is None or self._forked_us < 0:
            self._kill()
            return
        pids = tree.descendants(self.pid) if self.pid > 0 and self._blueprint.own_proc else []
        reaped_s = tree.reaped_cpu_s(self.pid) - self._cpu_before_s if self.pid > 0 else 0.0
        zygote_bytes = tree.anonymous_bytes(str(self.zygote_pid))
        run.look(pids, reaped_s, zygote_bytes, self._place, self._memory_events)
        self._arm()
        self._kill_if_over(run)

    # Ends

    def cancel(self) -> None:
        """Kills the cell because nobody wants to know any more."""
        self._cancelled = True
        self._kill()

    def _kill_if_over(self, run: Run) -> None:
        if run.limit is not None and not self._killed:
            self._kill()

    def _kill(self) -> None:
        assert self._zygote_control is not None
        zygote.kill(self._zygote_control, self.number, at_once=self._killed or self._forked_us < 0)
        self._killed = True
        self.next_event = time.monotonic() + _END_S

    def _end_run(self, status: "cell.Status") -> None:
        run = self._run
        if run is None:
            return
        self._run = None
        self._facts = self._facts_of(run, status)
        self._close(run)
        self._cpu_before_s = tree.reaped_cpu_s(self.pid) if self.pid > 0 else 0.0
        if self._cases is not None:
            self._cases.take(self._facts)
            if not self._killed:
                self._begin_run()
                return
        elif self._spec["program"].get("collect") and self._place >= 0:
            room = min(self._limits["output_bytes"], protocol.MAXIMUM_UP_BYTES // 4)
            self._facts["files"] = collect(self._spec["program"]["collect"], self._place, room)
        self._control.shutdown(socket.SHUT_WR)
        self.next_event = time.monotonic() + _END_S

    def _facts_of(self, run: Run, status: "cell.Status") -> Dict[str, Any]:
        run.end(status, self._place)
        if self._first_start_us < 0:
            self._first_start_us = status.started_us
        return run.facts(tree.resident_bytes(str(self.zygote_pid)))

    def _close(self, run: Run) -> None:
        for descriptor in (run.stdout, run.stderr, run.channel.fileno()):
            self._loop.forget(descriptor)
        run.close()

    def end(self, notice: "Optional[zygote.Notice]") -> Dict[str, Any]:
        """Returns the facts, once the cell's first process is gone, and closes what is left.

        Args:
            notice: What the zygote says of that process; None if the zygote died with it.
        """
        ended_us = cell.now_us()
        facts = self._final_facts(notice)
        facts["cancelled"] = self._cancelled
        facts["timeline"] = {
            "forked_us": self._forked_us - self._received_us if self._forked_us >= 0 else -1,
            "started_us": self._first_start_us - self._received_us if self._first_start_us >= 0 else -1,
            "ended_us": ended_us - self._received_us,
        }
        if self.group is not None and "usage" in facts:
            _add_counts(self.group, facts)
        self._close_all()
        return facts

    def _final_facts(self, notice: "Optional[zygote.Notice]") -> Dict[str, Any]:
        while self._control.fileno() >= 0 and self._more_to_hear():
            self._on_control(select.POLLIN)
        run, self._run = self._run, None
        if run is not None and self._killed and notice is not None and self._forked_us >= 0:
            # Killed for a limit: what the kernel counted for all of the cell stands for the sample.
            status = cell.Status(signal.SIGKILL, notice.user_us, notice.system_us, notice.peak_kib, -1, -1)
            self._facts = self._facts_of(run, status)
            if self._cases is not None:
                self._cases.take(self._facts)
        if run is not None:
            self._close(run)
        if self._facts is None or self._failure:
            if self._cancelled:
                return {}
            reason = "CELL_NOT_BUILT" if self._failure or self._forked_us < 0 else "CELL_LOST"
            message = self._failure or "the cell ended without a word; the worker's log may have more"
            return {"sandbox_fault": {"reason": reason, "message": message}}
        return self._cases.facts(self._facts) if self._cases is not None else self._facts

    def _more_to_hear(self) -> bool:
        try:
            return bool(self._control.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except OSError:
            return False

    def _close_all(self) -> None:
        self._loop.forget(self._control.fileno())
        self._control.close()
        self._theirs.close()
        for descriptor in (self._place, self._memory_events, self._spec_fd):
            if descriptor >= 0:
                os.close(descriptor)
        if not self._blueprint.namespaces:
            folder = os.path.join(self._blueprint.private_folder, "cell%d" % self.number)
            shutil.rmtree(folder, ignore_errors=True)  # what a sample made undeletable goes with the worker's folder


def _add_counts(group: cgroup.Group, facts: Dict[str, Any]) -> None:
    """Adds what the kernel counted for the cell's whole tree."""
    counted = group.usage()
    facts["usage"]["peak_memory_bytes"] = counted.peak_memory_bytes
    if counted.out_of_memory_kills:
        facts["limit"] = "memory"  # whatever came of it later
    if counted.refused_forks and "processes" not in facts["refused_resources"]:
        facts["refused_resources"].append("processes")

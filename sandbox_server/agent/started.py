"""A cell that was started, from outside: its runs, one after the other, and its end."""

from __future__ import annotations

import marshal
import os
import select
import shutil
import socket
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional

from . import cell, protocol, stdio, tree, zygote
from .activity import Activity
from .files import collect
from .supervisor import Run, memory_file

if TYPE_CHECKING:
    from .blueprint import Blueprint
    from .walls import cgroup

Finish = Callable[[Dict[str, Any]], None]
OnActivity = Callable[[bool], None]
_MESSAGE_BYTES = 256
_INTEGER_BYTES = 4
# How long a process may take until its walls stand, and a cell to be gone once it was told to end, before the agent
# tells it again.
_BUILD_S, _END_S = 60.0, 5.0


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
        on_activity: Called with whether the cell sleeps, when that has changed; None when nobody wants to know.
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
        on_activity: Optional[OnActivity] = None,
    ) -> None:
        self.number = number
        self.group = group
        self.zygote_pid = zygote_pid
        self.finish = finish
        self.first = self.pid = -1
        self.next_event = time.monotonic() + _BUILD_S
        self._received_us = cell.now_us()
        self._forked_us = self._started_us = -1
        self._spec = spec
        self._limits = spec["limits"]
        self._blueprint = blueprint
        self._loop = loop
        self._zygote: Optional[socket.socket] = None
        self._cases = stdio.Cases(spec["tests"], self._limits) if spec["kind"] == "stdio" else None
        self._place = self._memory_events = self._spec_fd = -1
        self._run: Optional[Run] = None
        self._on_activity = on_activity
        self._activity: Optional[Activity] = None
        self._stands = False
        self._failure = ""
        self._facts: Optional[Dict[str, Any]] = None
        self._ending = self._cancelled = False

    def descriptors(self) -> List[int]:
        """Returns the descriptors that nobody else may hold."""
        found = [self._place, self._spec_fd, *(self.group.descriptors() if self.group is not None else ())]
        if self._run is not None:
            found += [*self._run.descriptors(), *self._run.given]
        return [descriptor for descriptor in found if descriptor >= 0]

    # Start

    def start(self, zygote_control: socket.socket) -> None:
        """Has the cell made, and its first process."""
        self._zygote = zygote_control
        if self.group is not None:
            self._memory_events = self.group.events
        inside = {name: self._spec[name] for name in ("kind", "program", "limits", "env", "seed")}
        self._spec_fd = memory_file("spec", marshal.dumps(inside))
        self._begin_run()

    def _begin_run(self) -> None:
        """Has the zygote fork the next process, and gives it what it needs: descriptors, and nothing else."""
        assert self._zygote is not None
        stdin: Optional[bytes] = None
        kept_bytes, tests = self._limits["captured_bytes"], self._spec["tests"]
        if self._cases is not None:
            case = self._cases.next_case()
            if case is None:
                self._end()
                return
            (stdin, kept_bytes), tests = case, {}
        elif self._spec["program"].get("stdin_b64"):
            stdin = protocol.unb64(self._spec["program"]["stdin_b64"])
        run = self._run = Run(self._limits, self._blueprint, kept_bytes, tests, stdin)
        joins = self.group.joins if self.group is not None else []
        control, *streams = run.given
        given = cell.Given.of([control, self._spec_fd, *streams, *joins])
        is_new, is_last = self._facts is None, self._cases is None
        self._stands = False
        zygote.request(self._zygote, self.number, self._limits["disk_bytes"], given, is_new=is_new, is_last=is_last)
        run.hand_over()
        self.next_event = time.monotonic() + _BUILD_S
        watch = self._loop.watch
        watch(run.control.fileno(), select.POLLIN, lambda _: self._on_control(run))
        watch(run.stdout, select.POLLIN, lambda _: self._on_output(run, run.stdout))
        watch(run.stderr, select.POLLIN, lambda _: self._on_output(run, run.stderr))
        watch(run.channel.fileno(), select.POLLIN, lambda events: self._on_channel(run, events))

    # Events

    def _on_control(self, run: Run) -> None:
        """Hears from the process before it loads the sample: that its walls stand, or why they do not."""
        message = cell.PLACED
        while message[:1] == cell.PLACED:
            try:
                message, ancillary, _, _ = run.control.recvmsg(_MESSAGE_BYTES, socket.CMSG_SPACE(_INTEGER_BYTES))
            except BlockingIOError:
                return
            if ancillary:
                if self._place >= 0:
                    os.close(self._place)
                self._place = int.from_bytes(ancillary[0][2][:_INTEGER_BYTES], "little")
        self._loop.forget(run.control.fileno())
        if message[:1] == cell.BUILT:
            self._stands = True
            forked_us, started_us = cell.times(message[1:])
            if self._started_us < 0:
                self._forked_us, self._started_us = forked_us, started_us
                self._activity = Activity(time.monotonic())
            run.start(started_us)
            self._arm()
        elif message[:1] == cell.FAILED:
            self._failure = message[1:].decode("utf-8", "replace")

    def _arm(self) -> None:
        if self._run is not None and not self._ending:
            self.next_event = self._run.next_event

    def _on_output(self, run: Run, descriptor: int) -> None:
        if not run.read_output(descriptor):
            self._loop.forget(descriptor)
        self._end_if_over(run)

    def _on_channel(self, run: Run, events: int) -> None:
        descriptor = run.channel.fileno()
        wanted_to_write = run.wants_to_write
        if events & select.POLLOUT:
            run.write_channel()
        if events & ~select.POLLOUT and not run.read_channel():
            self._loop.forget(descriptor)
            return
        if run.wants_to_write != wanted_to_write:
            wanted = select.POLLIN | (select.POLLOUT if run.wants_to_write else 0)
            self._loop.watch(descriptor, wanted, lambda later: self._on_channel(run, later))

    def take(self, notice: zygote.Notice) -> bool:
        """Takes what the zygote tells of this cell; returns whether nothing is left of it."""
        if notice.what == zygote.FORKED:
            self.first, self.pid = notice.first, notice.value
        elif notice.what == zygote.ENDED:
            self._end_run(notice)
        return notice.what == zygote.GONE

    def look(self) -> None:
        """Compares what the sample uses with its limits; called when `next_event` has come."""
        run = self._run
        if self._ending or run is None or not self._stands:
            self._end()
            return
        pids: List[int] = []
        if self._blueprint.own_proc and self.pid > 0:
            pids = [self.pid, *tree.descendants(self.pid)]
            pids += tree.descendants(self.first) if self.first > 0 else []
        cpu_s = run.look(pids, tree.anonymous_bytes(str(self.zygote_pid)), self._place, self._memory_events)
        self._arm()
        self._end_if_over(run)
        if not self._ending:
            self._look_at_activity(run, pids, cpu_s)

    def _look_at_activity(self, run: Run, pids: List[int], cpu_s: float) -> None:
        activity = self._activity
        if activity is not None and self._on_activity is not None and activity.look(time.monotonic(), pids, cpu_s):
            run.asleep = activity.asleep
            self._on_activity(activity.asleep)

    # Ends

    def cancel(self) -> None:
        """Ends the cell because nobody wants to know any more."""
        self._cancelled = True
        self._end()

    def _end_if_over(self, run: Run) -> None:
        if run.limit is not None and not self._ending:
            self._end()

    def _end(self) -> None:
        assert self._zygote is not None
        self._ending = True
        self.next_event = time.monotonic() + _END_S
        zygote.end(self._zygote, self.number)

    def _end_run(self, notice: zygote.Notice) -> None:
        run, self._run = self._run, None
        if run is None:
            return
        self._on_control(run)
        if self._stands:
            run.end(notice, self._place)
            self._facts = run.facts(tree.resident_bytes(str(self.zygote_pid)))
        self._close(run)
        self.pid = -1
        self.next_event = time.monotonic() + _END_S
        if not self._stands:
            self._failure = self._failure or "its process ended while it was built, wait status %d" % notice.value
            self._end()
        elif self._cases is not None and self._facts is not None:
            self._cases.take(self._facts)
            if not self._ending:
                self._begin_run()
        elif self._spec["program"].get("collect") and self._facts is not None:
            room = min(self._limits["output_bytes"], protocol.MAXIMUM_UP_BYTES // 4)
            self._facts["files"] = collect(self._spec["program"]["collect"], self._place, room)

    def _close(self, run: Run) -> None:
        for descriptor in run.descriptors():
            self._loop.forget(descriptor)
        run.close()

    def facts(self) -> Dict[str, Any]:
        """Returns the facts, once nothing is left of the cell, and closes what is left of it here."""
        if self._run is not None:
            self._close(self._run)
        ended_us = cell.now_us()
        facts = self._final_facts()
        facts["cancelled"] = self._cancelled
        facts["timeline"] = {
            "forked_us": self._forked_us - self._received_us if self._forked_us >= 0 else -1,
            "started_us": self._started_us - self._received_us if self._started_us >= 0 else -1,
            "ended_us": ended_us - self._received_us,
        }
        if self.group is not None and "usage" in facts:
            _add_counts(self.group, facts)
        for descriptor in (self._place, self._spec_fd):
            if descriptor >= 0:
                os.close(descriptor)
        if not self._blueprint.file_view:
            folder = os.path.join(self._blueprint.private_folder, "cell%d" % self.number)
            shutil.rmtree(folder, ignore_errors=True)  # what a sample made undeletable goes with the worker's folder
        return facts

    def _final_facts(self) -> Dict[str, Any]:
        if self._facts is not None and not self._failure:
            return self._cases.facts(self._facts) if self._cases is not None else self._facts
        if self._cancelled:
            return {}
        reason = "CELL_LOST" if self._stands else "CELL_NOT_BUILT"
        message = self._failure or "the cell ended without a word; the worker's log may have more"
        return {"sandbox_fault": {"reason": reason, "message": message}}


def _add_counts(group: cgroup.Group, facts: Dict[str, Any]) -> None:
    """Adds what the kernel counted for the cell's whole tree."""
    counted = group.usage()
    facts["usage"]["peak_memory_bytes"] = counted.peak_memory_bytes
    if counted.out_of_memory_kills:
        facts["limit"] = "memory"  # whatever came of it later
    if counted.refused_forks and "processes" not in facts["refused_resources"]:
        facts["refused_resources"].append("processes")

"""Watches one process of a sample from outside its cell: time, memory, processes, output, report, end.

What it gathers are facts; what they mean is decided elsewhere. It trusts nothing that the sample can write to: its
output is kept in bounds, its report is read by `harness.report`, and how it ended comes from its parent, the zygote.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Deque, Dict, List, Optional, Sequence

from . import tree
from .activity import INTERVAL_S
from .capture import Capture
from .harness.report import ReportReader
from .walls import cgroup

if TYPE_CHECKING:
    from .blueprint import Blueprint
    from .zygote import Notice

# Nothing is looked at before FIRST_LOOK_S, so short samples cost nothing; a cell without a cgroup is looked at more
# often, since nobody else bounds its memory. One that wakes up has that long until somebody looks.
_FIRST_LOOK_S, _LOOK_S, _SAMPLED_LOOK_S, _SHORTEST_LOOK_S = 0.03, 0.1, 0.01, 0.005
_SAMPLED_ASLEEP_LOOK_S = 0.05
_LONGEST_WAITING_FACTOR = 3.0
_EXACT_LOOK_FACTOR = 10.0
"""How many times what an exact look at memory took passes before the next: it may cost a tenth of a CPU."""
_LONGEST_EXACT_PAUSE_S = 0.5
"""And no longer than this: meanwhile a sample may make its own what its processes shared."""
_CHUNK_BYTES = 1 << 18
_MESSAGE_BYTES = 1 << 16
_MESSAGES_A_TURN = 64
_MICROSECONDS = 1e-6
_CORES = len(os.sched_getaffinity(0))
_TOO_MANY_PROCESSES = ("[Errno 11]", "can't start new thread")
_NO_ROOM = ("[Errno 27]", "[Errno 28]")


class Run:
    """One process of a sample, from the descriptors it is given to its facts.

    Args:
        limits: As in the agent's protocol.
        blueprint: How the cell is built.
        kept_bytes: How much of each output stream is kept.
        tests: What the sample's process gets once it has loaded the sample; empty where it reports no tests.
        stdin: What it can read from standard input; None for nothing.
    """

    def __init__(
        self,
        limits: Dict[str, Any],
        blueprint: Blueprint,
        kept_bytes: int,
        tests: Dict[str, Any],
        stdin: Optional[bytes],
    ) -> None:
        self.limit: Optional[str] = None
        self.control, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.stdout, stdout = os.pipe()
        self.stderr, stderr = os.pipe()
        stdin_fd = os.open("/dev/null", os.O_RDONLY) if stdin is None else memory_file("stdin", stdin)
        self.given: List[int] = [control.detach(), stdin_fd, stdout, stderr, theirs.detach()]
        self.captures = {self.stdout: Capture(kept_bytes), self.stderr: Capture(kept_bytes)}
        self.control.setblocking(False)
        self.channel.setblocking(False)
        os.set_blocking(self.stdout, False)
        os.set_blocking(self.stderr, False)
        self.next_event = float("inf")
        self._limits = limits
        self._blueprint = blueprint
        self._tests = tests
        self._reader = ReportReader(takes_tests=bool(tests))
        self._outgoing: Deque[bytes] = deque()
        self._started = self._deadline = self._next_look = float("inf")
        self._extension_s = 0.0
        self._peak_memory_bytes = 0
        self._next_exact_look = 0.0
        self._peak_processes = 1
        self._disk_was_full = False
        self._seen_cpu_s = 0.0
        self.asleep = False
        """Whether the cell sleeps: it is looked at less often then."""
        self._started_us = -1
        self._end: Optional[Notice] = None

    # Descriptors

    def hand_over(self) -> None:
        """Closes what the sample's process was given, once it has it."""
        for descriptor in self.given:
            os.close(descriptor)
        self.given = []

    def descriptors(self) -> List[int]:
        """Returns our ends."""
        return [self.stdout, self.stderr, self.channel.fileno(), self.control.fileno()]

    def close(self) -> None:
        """Closes what is left."""
        self.hand_over()
        os.close(self.stdout)
        os.close(self.stderr)
        self.channel.close()
        self.control.close()

    def read_output(self, descriptor: int) -> bool:
        """Takes a piece of output; returns False at its end."""
        try:
            data = os.read(descriptor, _CHUNK_BYTES)
        except BlockingIOError:
            return True
        self.captures[descriptor].feed(data)
        if sum(one.total_bytes for one in self.captures.values()) > self._limits["output_bytes"]:
            self._trip("output")
        return bool(data)

    def read_channel(self) -> bool:
        """Takes messages from the harness; returns False at their end."""
        for _ in range(_MESSAGES_A_TURN):
            try:
                message = self.channel.recv(_MESSAGE_BYTES)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not message:
                return False
            if self._reader.feed(message):
                answer = self._reader.tests_message(self._tests)
                pieces = range(0, len(answer), _MESSAGE_BYTES)
                self._outgoing.extend(answer[at : at + _MESSAGE_BYTES] for at in pieces)
                self.write_channel()
        return True

    def write_channel(self) -> None:
        """Sends what waits to be sent to the harness, as far as the socket takes it now."""
        while self._outgoing:
            try:
                self.channel.send(self._outgoing[0])
            except BlockingIOError:
                return
            except OSError:
                self._outgoing.clear()  # nobody reads any more; the end of the process tells the rest
                return
            self._outgoing.popleft()

    @property
    def wants_to_write(self) -> bool:
        """Whether something waits to be sent to the harness."""
        return bool(self._outgoing)

    # Time and limits

    def start(self, started_us: int) -> None:
        """Starts the clock.

        Args:
            started_us: When the process's walls stood, by `cell.now_us`.
        """
        self._started_us = started_us
        self._started = time.monotonic()
        self._deadline = self._started + self._limits["wall_s"]
        self._next_look = self._started + min(_FIRST_LOOK_S, self._limits["cpu_s"])
        self._arm()

    def _arm(self) -> None:
        self.next_event = min(self._next_look, self._deadline)

    def _trip(self, limit: str) -> None:
        if self.limit is None and self._end is None:
            self.limit = limit

    def look(self, pids: Sequence[int], zygote_bytes: int, place: int, memory_events: int) -> float:
        """Compares what the sample uses with its limits, and sets `limit` when one is reached.

        Returns the CPU time that its processes have used, in seconds.

        Args:
            pids: The processes of the cell but its first, the sample's own in front; none where they cannot be seen.
            zygote_bytes: The anonymous memory that each shares with its zygote.
            place: A descriptor of the working directory.
            memory_events: A descriptor of the memory events of its cgroup; -1 without.
        """
        now = time.monotonic()
        sampled = not self._blueprint.cgroups
        used = tree.usage(pids, zygote_bytes, with_memory=sampled)
        self._seen_cpu_s = max(self._seen_cpu_s, used.cpu_s)
        self._peak_processes = max(self._peak_processes, used.threads)
        disk_bytes = self._look_at_disk(place)
        if sampled:
            self._look_at_memory(used.memory_bytes, disk_bytes, pids, zygote_bytes)
        elif cgroup.killed_for_memory(memory_events):
            self._trip("memory")
        if used.cpu_s > self._limits["cpu_s"]:
            self._trip("cpu")
        elif used.threads > self._limits["processes"]:
            self._trip("processes")
        elif disk_bytes > self._limits["disk_bytes"]:  # only where no file system of its own bounds it
            self._trip("disk")
        cpu_left_s = (self._limits["cpu_s"] - used.cpu_s) / _CORES
        self._next_look = now + max(_SHORTEST_LOOK_S, min(self._pause_s(), cpu_left_s))
        if now >= self._deadline:
            self._extend_or_trip(pids)
        self._arm()
        return used.cpu_s

    def _pause_s(self) -> float:
        """Returns how long nothing need be looked at: many cells may sleep, and each look costs CPU time."""
        if self._blueprint.cgroups:
            return INTERVAL_S if self.asleep else _LOOK_S
        return _SAMPLED_ASLEEP_LOOK_S if self.asleep else _SAMPLED_LOOK_S

    def _extend_or_trip(self, pids: Sequence[int]) -> None:
        """Gives back the time for which the sample waited for a CPU: being slowed by others is not its fault."""
        waited_s = tree.run_delay_s(pids[0]) if pids else 0.0
        waited_s = min(waited_s, _LONGEST_WAITING_FACTOR * self._limits["wall_s"])
        if waited_s > self._extension_s + 0.01:
            self._extension_s = waited_s
            self._deadline = self._started + self._limits["wall_s"] + waited_s
        else:
            self._trip("wall")

    def _look_at_memory(self, memory_bytes: int, disk_bytes: int, pids: Sequence[int], zygote_bytes: int) -> None:
        """Compares memory with its limit, files in it included.

        The sum over processes counts what they share once for each. Only when that is too much is it worth finding
        out what they have in truth, and not at every look.
        """
        if memory_bytes + disk_bytes > self._limits["memory_bytes"] and len(pids) > 1:
            began = time.monotonic()
            if began < self._next_exact_look:
                return
            exact = tree.proportional_bytes(pids, zygote_bytes)
            took = time.monotonic() - began
            self._next_exact_look = began + min(_EXACT_LOOK_FACTOR * took, _LONGEST_EXACT_PAUSE_S)
            memory_bytes = exact if exact >= 0 else memory_bytes
        self._peak_memory_bytes = max(self._peak_memory_bytes, memory_bytes + disk_bytes)
        if memory_bytes + disk_bytes > self._limits["memory_bytes"]:
            self._trip("memory")

    def _look_at_disk(self, place: int) -> int:
        """Returns how many bytes the sample's files take, and notes whether its file system is full."""
        if not self._blueprint.file_view:
            return tree.disk_bytes(place)
        status = os.fstatvfs(place)
        self._disk_was_full = self._disk_was_full or status.f_bfree == 0 or status.f_ffree == 0
        return (status.f_blocks - status.f_bfree) * status.f_frsize

    # The end

    def end(self, notice: Notice, place: int) -> None:
        """Takes how the sample's process ended, and what it wrote before: nobody is left to write more."""
        self._end = notice
        self.next_event = float("inf")
        self._take_rest()
        if place >= 0:
            self._look_at_disk(place)

    def _take_rest(self) -> None:
        for descriptor in (self.stdout, self.stderr):
            while True:
                before = self.captures[descriptor].total_bytes
                if not self.read_output(descriptor) or self.captures[descriptor].total_bytes == before:
                    break
        while self.read_channel():
            # Bounded: nobody is left to send, and a socket's buffer holds no more than this.
            if not self._more_messages():
                break

    def _more_messages(self) -> bool:
        try:
            return bool(self.channel.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def facts(self, zygote_resident_bytes: int) -> Dict[str, Any]:
        """Returns the facts of the ended process, as the agent's protocol has them."""
        end = self._end
        assert end is not None, "facts before the end"
        report = self._reader.facts()
        limit = self.limit
        exited = os.WIFEXITED(end.value)
        if limit is None and not exited and os.WTERMSIG(end.value) == signal.SIGXCPU:
            limit = "cpu"
        refused = []
        if self._disk_was_full or _mentions(report, _NO_ROOM):
            refused.append("disk")
        if _mentions(report, _TOO_MANY_PROCESSES):
            refused.append("processes")
        # A process that ended between two looks: the kernel kept its peak, shared pages included.
        most_resident = (end.peak_kib << 10) - zygote_resident_bytes
        wall_us = end.when_us - self._started_us if self._started_us >= 0 else 0
        # Of processes that were killed before anybody waited for them only the last look knows.
        unseen_s = max(0.0, self._seen_cpu_s - (end.user_us + end.system_us) * _MICROSECONDS)
        if exited and limit is None and not self._tests and report["error"] is None:
            report["stage"] = "complete"  # kinds that report no tests are complete when they end by themselves
        return {
            **report,
            "exit_code": os.WEXITSTATUS(end.value) if exited else None,
            "exit_signal": None if exited else os.WTERMSIG(end.value),
            "limit": limit,
            "refused_resources": refused,
            "stdout": self.captures[self.stdout].frame(),
            "stderr": self.captures[self.stderr].frame(),
            "usage": {
                "cpu_user_s": end.user_us * _MICROSECONDS + unseen_s,
                "cpu_system_s": end.system_us * _MICROSECONDS,
                "wall_s": max(0, wall_us) * _MICROSECONDS,
                "peak_memory_bytes": max(0, self._peak_memory_bytes, most_resident),
                "memory_source": self._blueprint.memory_source,
                "peak_processes": self._peak_processes,
            },
        }


def memory_file(name: str, content: bytes) -> int:
    """Returns a descriptor of an anonymous file with this content, at its start: nobody has to pump it."""
    descriptor = os.memfd_create(name)
    # Else everybody's, and where cells see the agent's descriptors in /proc, theirs to write to.
    os.fchmod(descriptor, 0o600)
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _mentions(report: Dict[str, Any], words: Sequence[str]) -> bool:
    """Whether an error that the sample reported says so. Its own word, so good only to explain a failure."""
    texts: List[str] = [report["error"]["message"]] if report.get("error") else []
    texts += [result["detail"][-500:] for result in report["results"] if result["status"] != "passed"]
    return any(word in text for text in texts for word in words)

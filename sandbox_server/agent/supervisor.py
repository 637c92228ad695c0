"""Watches the process of a sample from beside it: time, memory, processes, output, report, end.

Runs in the cell's first process. What it returns are facts; what they mean is decided outside the cell. It trusts
nothing that the sample can write to.
"""

from __future__ import annotations

import os
import select
import signal
import time
from typing import Any, Callable, Dict, List, Optional

from . import capture, tree
from .blueprint import Blueprint
from .walls import cgroup, syscalls

# Nothing is looked at before FIRST_LOOK_S, so short samples cost nothing; a cell without a cgroup is looked at more
# often, since the supervisor alone bounds its memory.
_FIRST_LOOK_S = 0.03
_LOOK_S = 0.1
_SAMPLED_LOOK_S = 0.01
_SHORTEST_LOOK_S = 0.005
_LONGEST_WAITING_FACTOR = 3.0
_CHUNK_BYTES = 1 << 18
_MESSAGE_BYTES = 1 << 16
_CORES = len(os.sched_getaffinity(0))


class Watch:
    """Watches one process of a sample until it ended or was killed for a limit.

    Args:
        pid: The sample's process, a child of the caller.
        limits: As in the agent's protocol.
        blueprint: How the cell is built.
        zygote_bytes: The anonymous memory that the process shared with its zygote when it was forked.
        work: The working directory.
        on_message: Takes what the sample wrote to its channel and may return an answer to send.
        memory_events: The memory events of the cell's cgroup; None without.
    """

    def __init__(
        self,
        pid: int,
        limits: Dict[str, Any],
        blueprint: Blueprint,
        zygote_bytes: int,
        work: str,
        on_message: Callable[[bytes], Optional[bytes]],
        memory_events: Optional[int],
    ) -> None:
        self.pid = pid
        self.limit: Optional[str] = None
        self.exit_code: Optional[int] = None
        self.exit_signal: Optional[int] = None
        self.peak_memory_bytes = 0
        self.peak_processes = 1
        self.disk_was_full = False
        self._limits = limits
        self._blueprint = blueprint
        self._zygote_bytes = zygote_bytes
        self._work = work
        self._on_message = on_message
        self._memory_events = memory_events
        self._cpu_before_s = tree.reaped_cpu_s()
        self._started = time.monotonic()
        self._extension_s = 0.0
        self._ended = False

    def run(self, stdout: int, stderr: int, channel: int, kept_bytes: int) -> "tuple[capture.Capture, capture.Capture]":
        """Watches until the process is gone and all its children with it; closes the descriptors."""
        captures = {stdout: capture.Capture(kept_bytes), stderr: capture.Capture(kept_bytes)}
        kept = (captures[stdout], captures[stderr])
        ended = syscalls.pidfd_open(self.pid)
        poll = select.poll()
        for descriptor in (stdout, stderr, channel):
            os.set_blocking(descriptor, False)
            poll.register(descriptor, select.POLLIN)
        poll.register(ended, select.POLLIN)
        next_look = self._started + min(_FIRST_LOOK_S, self._limits["cpu_s"])
        while not self._ended:
            wait_s = max(0.0, min(next_look, self._deadline()) - time.monotonic())
            for descriptor, _ in poll.poll(int(wait_s * 1000) + 1):
                if descriptor == ended:
                    self._ended = True
                elif descriptor == channel:
                    if not self._read_channel(channel, 64):
                        poll.unregister(channel)
                elif not self._read_output(descriptor, captures):
                    poll.unregister(descriptor)
            if self.limit is None and sum(one.total_bytes for one in kept) > self._limits["output_bytes"]:
                self.limit = "output"
            now = time.monotonic()
            if self.limit is None and not self._ended and now >= next_look:
                next_look = now + self._look()
            if self.limit is None and not self._ended and now >= self._deadline():
                self._extend_or_time_out()
            if self.limit is not None:
                break
        os.close(ended)
        self._end_all()
        # What was written before the end still counts; everybody who could write more is dead.
        while self._read_channel(channel, 1024) and self._has_more(channel):
            continue
        for descriptor in (stdout, stderr):
            while self._read_output(descriptor, captures) and self._has_more(descriptor):
                continue
        for descriptor in (stdout, stderr, channel):
            os.close(descriptor)
        return kept

    @property
    def cpu_s(self) -> float:
        """CPU time of the process and its children, once they are gone."""
        return tree.reaped_cpu_s() - self._cpu_before_s

    @property
    def wall_s(self) -> float:
        """Time by the clock since the start."""
        return time.monotonic() - self._started

    def _deadline(self) -> float:
        return self._started + float(self._limits["wall_s"]) + self._extension_s

    @staticmethod
    def _has_more(descriptor: int) -> bool:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return any(events & select.POLLIN for _, events in poll.poll(0))

    def _read_output(self, descriptor: int, captures: Dict[int, capture.Capture]) -> bool:
        try:
            data = os.read(descriptor, _CHUNK_BYTES)
        except BlockingIOError:
            return True
        captures[descriptor].feed(data)
        return bool(data)

    def _read_channel(self, channel: int, most: int) -> bool:
        """Takes up to `most` messages; returns False at the channel's end."""
        for _ in range(most):
            try:
                message = os.read(channel, _MESSAGE_BYTES)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not message:
                return False
            answer = self._on_message(message)
            if answer is not None:
                self._send(channel, answer)
        return True

    @staticmethod
    def _send(channel: int, answer: bytes) -> None:
        """Sends the tests: in pieces, since a datagram holds no more than the socket's buffer."""
        os.set_blocking(channel, True)
        try:
            for start in range(0, len(answer), _MESSAGE_BYTES):
                os.write(channel, answer[start : start + _MESSAGE_BYTES])
        except OSError:
            return  # nobody reads any more; the end of the process tells the rest
        finally:
            os.set_blocking(channel, False)

    def _pids(self) -> List[int]:
        if not self._blueprint.namespaces:
            return tree.descendants(os.getpid())
        return tree.in_own_pid_namespace() if self._blueprint.own_proc else []

    def _look(self) -> float:
        """Compares the tree with its limits; returns the time until the next look."""
        sampled = not self._blueprint.cgroups
        used = tree.usage(self._pids(), self._zygote_bytes, with_memory=sampled)
        cpu_s = used.cpu_s - self._cpu_before_s
        self.peak_processes = max(self.peak_processes, used.threads)
        full, disk_bytes = self._disk()
        if sampled:
            memory = used.memory_bytes + (disk_bytes if self._blueprint.namespaces else 0)
            self.peak_memory_bytes = max(self.peak_memory_bytes, memory)
            if memory > self._limits["memory_bytes"]:
                self.limit = "memory"
        elif self._memory_events is not None and cgroup.killed_for_memory(self._memory_events):
            self.limit = "memory"
        if full:
            self.disk_was_full = True
        if cpu_s > self._limits["cpu_s"]:
            self.limit = "cpu"
        elif used.threads > self._limits["processes"]:
            self.limit = "processes"
        elif not self._blueprint.namespaces and disk_bytes > self._limits["disk_bytes"]:
            self.limit = "disk"
        cpu_left_s = (self._limits["cpu_s"] - cpu_s) / _CORES
        return max(_SHORTEST_LOOK_S, min(_SAMPLED_LOOK_S if sampled else _LOOK_S, cpu_left_s))

    def _disk(self) -> "tuple[bool, int]":
        """Returns whether the cell's file system is full, and how many bytes it holds."""
        if self._blueprint.namespaces:
            status = os.statvfs(self._work)
            used = (status.f_blocks - status.f_bfree) * status.f_frsize
            return status.f_bfree == 0 or status.f_ffree == 0, used
        total = 0
        for folder, _, names in os.walk(self._work):
            for name in names:
                try:
                    total += os.lstat(os.path.join(folder, name)).st_blocks * 512
                except OSError:
                    continue  # removed between listing and looking
        return False, total

    def _extend_or_time_out(self) -> None:
        """Gives back the time that the sample waited for a CPU, once it is known to have waited."""
        waited_s = min(tree.run_delay_s(self.pid), _LONGEST_WAITING_FACTOR * self._limits["wall_s"])
        if waited_s > self._extension_s + 0.01:
            self._extension_s = waited_s
            return
        # A look first: a sample that burnt its CPU time has reached that limit, whatever the clock says.
        self._look()
        if self.limit is None:
            self.limit = "wall"

    def _end_all(self) -> None:
        """Kills what is left of the cell but the caller, and waits for all of it."""
        if self.limit is None and not self._blueprint.namespaces:
            self._reap(os.WNOHANG)
        while True:
            self._kill_all()
            if self._reap(0):
                break
        if self.exit_signal == signal.SIGXCPU and self.limit is None:
            self.limit = "cpu"
        full, _ = self._disk()
        self.disk_was_full = self.disk_was_full or (full and self._blueprint.namespaces)

    def _kill_all(self) -> None:
        if self._blueprint.namespaces:
            try:
                os.kill(-1, signal.SIGKILL)  # everybody in this PID namespace but its first process: the caller
            except ProcessLookupError:
                return
            return
        for pid in tree.descendants(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def _reap(self, options: int) -> bool:
        """Waits for children; returns whether none is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, options)
            except ChildProcessError:
                return True
            if pid == 0:
                return False
            if pid == self.pid:
                if os.WIFSIGNALED(status):
                    self.exit_signal = os.WTERMSIG(status)
                else:
                    self.exit_code = os.WEXITSTATUS(status)
            elif not self._blueprint.namespaces and options == 0:
                return False  # its children are ours now: kill them before waiting for more

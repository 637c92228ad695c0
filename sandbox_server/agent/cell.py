"""A cell: the throwaway container of one sample. Its first process builds the walls, runs, watches, reports.

The process that `live` runs in was cloned from a zygote for this one cell and ends with it. It holds no tests while
the sample's process is forked from it, so that nothing of them can be found in the sample's memory.
"""

from __future__ import annotations

import fcntl
import os
import resource
import shutil
import signal
import socket
import time
import traceback
from typing import Any, Callable, Dict, List, NamedTuple, NoReturn, Optional, Sequence

from . import files, harness, protocol, supervisor, tree
from .blueprint import Blueprint
from .harness.report import ReportReader
from .walls import capabilities, limits as resource_limits, namespaces, root, seccomp, syscalls

_CHANNEL, _READY = 3, 4
_CELL_ENVIRONMENT = {
    "HOME": "/tmp", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "LOGNAME": "cupel", "PATH": "/usr/local/bin:/usr/bin:/bin",
    "PYTHONHASHSEED": "0", "TMPDIR": "/tmp", "TZ": "UTC", "USER": "cupel",
}  # fmt: skip
# From the environment that the agent was started with: thread counts and the like, which hold for every sample.
_INHERITED = ("MKL_NUM_THREADS", "MPLBACKEND", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_CPP_MIN_LOG_LEVEL",
              "TF_ENABLE_ONEDNN_OPTS")  # fmt: skip


class Footprint(NamedTuple):
    """What a zygote occupies, which every process forked from it starts with."""

    anonymous_bytes: int
    data_bytes: int
    resident_bytes: int


class Cell:
    """One cell, from inside its first process.

    Args:
        stream: Frames to and from the agent.
        cgroups: Descriptors of the cell's cgroups, none without: the memory events, then those by which "0" joins.
        blueprint: How cells are built.
        filter_program: The system-call filter, ready to install; None without.
        zygote: What the zygote occupied when it forked this process.
    """

    def __init__(
        self,
        stream: protocol.Stream,
        cgroups: Sequence[int],
        blueprint: Blueprint,
        filter_program: Any,
        zygote: Footprint,
    ) -> None:
        self._stream = stream
        self._memory_events = cgroups[0] if cgroups else None
        self._joins = cgroups[1:]
        self._blueprint = blueprint
        self._filter = filter_program
        self._forked_us = _now_us()
        self._started_us = -1
        self._work = root.WORK
        self._zygote = zygote
        self._before = resource.getrusage(resource.RUSAGE_CHILDREN)

    def live(self) -> None:
        """Reads what to run, builds the walls, runs it and sends the facts."""
        spec = self._stream.receive_one()
        if spec is None:
            return  # the agent is gone
        try:
            self._build(spec)
            facts = self._run_cases(spec) if spec["kind"] == "stdio" else self._run_once(spec)
        except OSError as error:
            message = "%s\n%s" % (error, traceback.format_exc(limit=-3))
            facts = {"sandbox_fault": {"reason": "CELL_NOT_BUILT", "message": message}}
        if not self._blueprint.namespaces:
            shutil.rmtree(self._work, ignore_errors=True)  # in a mount namespace it is gone with the cell
        origin_us = spec["origin_us"]
        facts["timeline"] = {
            "forked_us": self._forked_us - origin_us,
            "started_us": self._started_us - origin_us if self._started_us >= 0 else -1,
            "ended_us": _now_us() - origin_us,
        }
        self._send(facts)

    def _send(self, message: Dict[str, Any]) -> None:
        os.set_blocking(self._stream.write_fd, True)
        self._stream.send(message)

    def _build(self, spec: Dict[str, Any]) -> None:
        if self._blueprint.namespaces:
            namespaces.enter(self._blueprint.outer_ids)
            root.enter_cell(spec["limits"]["disk_bytes"], self._blueprint.own_proc)
        else:
            syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
            self._work = os.path.join(self._blueprint.private_folder, spec["folder"])
            os.mkdir(self._work, 0o700)
            os.chdir(self._work)
        files.place(spec["program"].get("files", []), self._work)

    def _run_once(self, spec: Dict[str, Any]) -> Dict[str, Any]:
        """Runs a sample of every kind but stdio."""
        program = spec["program"]
        reader = ReportReader()
        stdin = _memory_file(protocol.unb64(program["stdin_b64"])) if program.get("stdin_b64") else None
        watch, kept = self._run_process(spec, stdin, spec["limits"]["captured_bytes"], self._answerer(reader))
        facts = self._facts(watch, kept, reader)
        if program.get("collect"):
            room = spec["limits"]["output_bytes"]
            facts["files"] = files.collect(program["collect"], self._work, min(room, protocol.MAXIMUM_UP_BYTES // 4))
        return facts

    def _run_cases(self, spec: Dict[str, Any]) -> Dict[str, Any]:
        """Runs the cases of a stdio sample, each in a process forked from this one, until the agent says stop.

        What is expected stays with the agent: this process's memory is what the sample's is forked from.
        """
        facts: Dict[str, Any] = {}
        totals = {"cpu_user_s": 0.0, "cpu_system_s": 0.0, "wall_s": 0.0}
        while True:
            case = self._stream.receive_one()
            if case is None or case.get("op") != "case":
                break
            reader = ReportReader()
            stdin = _memory_file(protocol.unb64(case["stdin_b64"]))
            watch, kept = self._run_process(spec, stdin, case["kept_bytes"], self._answerer(reader))
            facts = self._facts(watch, kept, reader)
            peak = max(watch.peak_memory_bytes, facts["usage"]["peak_memory_bytes"])
            for name in totals:
                totals[name] += facts["usage"][name]
            facts["usage"].update(totals, peak_memory_bytes=peak)
            self._send({"case": facts, "seconds": watch.wall_s})
        return facts

    def _answerer(self, reader: ReportReader) -> Callable[[bytes], Optional[bytes]]:
        def answer(message: bytes) -> Optional[bytes]:
            if not reader.feed(message):
                return None
            tests = self._stream.receive_one()  # sent by the agent right behind the spec, and unread until now
            return reader.tests_message(tests or {})

        return answer

    def _run_process(
        self,
        spec: Dict[str, Any],
        stdin: Optional[int],
        kept_bytes: int,
        answer: Callable[[bytes], Optional[bytes]],
    ) -> "tuple[supervisor.Watch, Any]":
        stdout_read, stdout_write = os.pipe()
        stderr_read, stderr_write = os.pipe()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stdin = os.open("/dev/null", os.O_RDONLY) if stdin is None else stdin
        ready_read, ready_write = os.pipe()
        self._before = resource.getrusage(resource.RUSAGE_CHILDREN)
        pid = os.fork()
        if pid == 0:
            self._become_sample(spec, (stdin, stdout_write, stderr_write, theirs.detach()), ready_write)
        for descriptor in (stdin, stdout_write, stderr_write, ready_write):
            os.close(descriptor)
        theirs.close()
        # The pipe is closed when the walls stand, before a byte of the sample is read: the sample cannot forge it.
        failure = os.read(ready_read, 4096)
        os.close(ready_read)
        if failure:
            os.waitpid(pid, 0)
            raise OSError(failure.decode("utf-8", "replace"))
        if self._started_us < 0:
            self._started_us = _now_us()
        watch = supervisor.Watch(
            pid,
            spec["limits"],
            self._blueprint,
            self._zygote.anonymous_bytes,
            self._work,
            answer,
            self._memory_events,
        )
        kept = watch.run(stdout_read, stderr_read, ours.detach(), kept_bytes)
        return watch, kept

    def _become_sample(self, spec: Dict[str, Any], descriptors: Sequence[int], ready: int) -> NoReturn:
        """Takes away everything that the sample must not have, and hands over to the harness."""
        try:
            os.setsid()
            syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)
            for descriptor in self._joins:
                os.write(descriptor, b"0")
            if self._blueprint.own_proc:
                _set_out_of_memory_score(1000)
            for number, descriptor in enumerate([_above(descriptor) for descriptor in (*descriptors, ready)]):
                os.dup2(descriptor, number, inheritable=number <= 2)
            ready = _READY
            syscalls.close_range(_READY + 1, 0xFFFFFFFF)
            variables = environment(spec["env"])
            os.environ.clear()
            os.environ.update(variables)
            time.tzset()
            os.umask(0o022)
            os.chdir(self._work)
            for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL if number == signal.SIGCHLD else signal.SIG_IGN)
            resource_limits.apply(spec["limits"], self._zygote.data_bytes, own_user_namespace=self._blueprint.namespaces)
            syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
            capabilities.give_up()
            if self._filter is not None:
                seccomp.install(self._filter)
        except BaseException as error:  # whatever failed, the sample must not start without it
            os.write(ready, ("%s: %s" % (type(error).__name__, error)).encode("utf-8", "replace")[:4096])
            os._exit(1)
        os.close(_READY)
        harness.enter(spec["kind"], spec["program"], _CHANNEL, spec["seed"])

    def _facts(self, watch: supervisor.Watch, kept: Any, reader: ReportReader) -> Dict[str, Any]:
        report = reader.facts()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        # A process that ended between two looks: the kernel kept its peak, shared pages included.
        most_resident = (after.ru_maxrss << 10) - self._zygote.resident_bytes
        refused = []
        if watch.disk_was_full or _mentions(report, ("[Errno 28]", "[Errno 27]")):
            refused.append("disk")
        if _mentions(report, ("[Errno 11]", "can't start new thread")):
            refused.append("processes")
        facts: Dict[str, Any] = {
            **report,
            "exit_code": watch.exit_code,
            "exit_signal": watch.exit_signal,
            "limit": watch.limit,
            "refused_resources": refused,
            "stdout": kept[0].frame(),
            "stderr": kept[1].frame(),
            "usage": {
                "cpu_user_s": after.ru_utime - self._before.ru_utime,
                "cpu_system_s": after.ru_stime - self._before.ru_stime,
                "wall_s": watch.wall_s,
                "peak_memory_bytes": max(0, watch.peak_memory_bytes, most_resident),
                "memory_source": self._blueprint.memory_source,
                "peak_processes": watch.peak_processes,
            },
        }
        return facts


def environment(extra: Dict[str, str]) -> Dict[str, str]:
    """Returns the environment variables of a sample: the cell's own, then what the request adds."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {**inherited, **_CELL_ENVIRONMENT, **extra}


def _mentions(report: Dict[str, Any], words: Sequence[str]) -> bool:
    """Whether an error that the sample reported says so. Its own word, so good only to explain a failure."""
    texts: List[str] = [report["error"]["message"]] if report.get("error") else []
    texts += [result["detail"][-500:] for result in report["results"] if result["status"] != "passed"]
    return any(word in text for text in texts for word in words)


def _above(descriptor: int) -> int:
    """Returns a copy of a descriptor that no dup2 to a low number can overwrite."""
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD, 16)


def _memory_file(content: bytes) -> int:
    """Returns a descriptor of an anonymous file with this content, so that nobody has to pump standard input."""
    descriptor = os.memfd_create("stdin")
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _set_out_of_memory_score(score: int) -> None:
    descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
    try:
        os.write(descriptor, b"%d" % score)
    finally:
        os.close(descriptor)


def _now_us() -> int:
    return time.monotonic_ns() // 1000

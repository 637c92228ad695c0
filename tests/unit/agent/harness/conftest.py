"""Runs the harness in a plain forked child, with no walls around it and a small supervisor beside it."""

from __future__ import annotations

import os
import select
import socket
import sys
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from sandbox_server.agent import harness
from sandbox_server.agent.harness.report import ReportReader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_DATAGRAM_BYTES = 1 << 16


@pytest.fixture(scope="session", autouse=True)
def _prepared() -> None:
    harness.prepare(framework=True)


@dataclass
class Ran:
    """What a supervisor saw of one run."""

    reader: ReportReader
    exit_code: int | None = None
    exit_signal: int | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    messages: list[bytes] = field(default_factory=list)

    @property
    def statuses(self) -> dict[str, str]:
        return {result["test_id"]: result["status"] for result in self.reader.results}

    @property
    def error(self) -> dict[str, Any]:
        assert self.reader.error is not None
        return self.reader.error

    def result(self, test_id: str) -> dict[str, Any]:
        (one,) = [result for result in self.reader.results if result["test_id"] == test_id]
        return one


def _become_sample(
    kind: str,
    program: dict[str, Any],
    *,
    folder: Path,
    descriptors: list[int],
    seed: int,
    prepare: Callable[[], None],
) -> None:
    try:
        os.chdir(folder)
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
        os.closerange(4, 256)
        warnings.resetwarnings()  # a sample's warnings are no errors
        prepare()
        harness.enter(kind, program, 3, seed)
    finally:
        os._exit(99)  # enter() returned or raised, which it must not


def _serve(ran: Ran, stdout: int, stderr: int, channel: socket.socket, tests: dict[str, Any]) -> None:
    poll = select.poll()
    for descriptor in (stdout, stderr, channel.fileno()):
        poll.register(descriptor, select.POLLIN)
    left = 3
    while left:
        for descriptor, _ in poll.poll():
            try:
                data = os.read(descriptor, _DATAGRAM_BYTES)
            except ConnectionResetError:
                data = b""
            if not data:
                poll.unregister(descriptor)
                left -= 1
            elif descriptor == stdout:
                ran.stdout += data
            elif descriptor == stderr:
                ran.stderr += data
            else:
                ran.messages.append(data)
                if ran.reader.feed(data):
                    answer = ran.reader.tests_message(tests)
                    for start in range(0, len(answer), _DATAGRAM_BYTES):
                        channel.send(answer[start : start + _DATAGRAM_BYTES])


@dataclass
class Harness:
    """Runs samples, each in a child of its own."""

    folder: Path

    def run(
        self,
        kind: str,
        program: dict[str, Any],
        tests: dict[str, Any] | None = None,
        *,
        stdin: bytes | None = None,
        seed: int = 0,
        prepare: Callable[[], None] = lambda: None,
    ) -> Ran:
        """Runs a sample; `prepare` is called in the child, before the harness."""
        ran = Ran(ReportReader(takes_tests=kind in {"unittest", "function_check"}))
        stdout_read, stdout_write = os.pipe()
        stderr_read, stderr_write = os.pipe()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if stdin is None:
            stdin_fd = os.open(os.devnull, os.O_RDONLY)
        else:
            stdin_fd = os.memfd_create("stdin")
            os.write(stdin_fd, stdin)
            os.lseek(stdin_fd, 0, os.SEEK_SET)
        given = [os.dup(descriptor) for descriptor in (stdin_fd, stdout_write, stderr_write, theirs.fileno())]
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            # High copies first, so that no dup2 to a low number closes one that is still needed.
            high = [os.dup2(descriptor, 200 + index) for index, descriptor in enumerate(given)]
            _become_sample(kind, program, folder=self.folder, descriptors=high, seed=seed, prepare=prepare)
        for descriptor in (*given, stdin_fd, stdout_write, stderr_write):
            os.close(descriptor)
        theirs.close()
        _serve(ran, stdout_read, stderr_read, ours, tests or {})
        for descriptor in (stdout_read, stderr_read):
            os.close(descriptor)
        ours.close()
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            ran.exit_signal = os.WTERMSIG(status)
        else:
            ran.exit_code = os.WEXITSTATUS(status)
        return ran

    def unittest(self, solution: str, test: str, **more: Any) -> Ran:
        """Runs a `unittest` sample."""
        prepare = more.pop("prepare", lambda: None)
        program = {
            "solution": solution,
            "module_name": "__test__",
            "entry_point": "",
            "disabled_names": [],
            **more,
        }
        return self.run("unittest", program, {"source": test, "class_name": "TestCases"}, prepare=prepare)

    def function_check(self, solution: str, check: str = "", assertions: tuple[str, ...] = (), **more: Any) -> Ran:
        """Runs a `function_check` sample."""
        program = {"solution": solution, "entry_point": "f", "disabled_names": [], **more}
        return self.run("function_check", program, {"check": check, "assertions": list(assertions)})

    def script(self, source: str, *arguments: str, stdin: bytes | None = None) -> Ran:
        """Runs a `script` sample."""
        return self.run("script", {"source": source, "arguments": list(arguments)}, stdin=stdin)


@pytest.fixture
def child(tmp_path: Path) -> Harness:
    return Harness(tmp_path)

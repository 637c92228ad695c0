"""A real server for hostile samples, an honest neighbour beside each, and a look at what is left afterwards."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker
import grpc
import pytest
from cupel_client.gen import sandbox_service_pb2 as pb
from cupel_client.gen import sandbox_service_pb2_grpc as pb_grpc
from google.protobuf.duration_pb2 import Duration

from tests.conftest import leave_out_without
from tests.engine import leave_out_without_engine
from tests.integration.docker.served import containers_of, engine_client, possessions

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = """
import unittest
class TestCases(unittest.TestCase):
    def test_a(self):
        self.assertEqual(task_func(1), 2)
    def test_b(self):
        self.assertEqual(task_func(5), 6)
"""
CHECK = "def check(candidate):\n    assert abs(candidate(1) - 2) < 1e-6\n    assert candidate(5) == 6\n"
CASES = [pb.StdioCase(stdin=b"%d\n" % n, expected_stdout=b"%d\n%d\n" % (n + 1, n + 2)) for n in (1, 5)]
HONEST = "def task_func(x):\n    return x + 1\n"
NEIGHBOUR = """
import os, sys, time
name = sys.argv[1] + "-" + str(time.monotonic_ns())
places = [".", "/tmp", "/dev/shm"]
# What an interpreter that was installed below /tmp needs is shown there.
shown = {"shm"} | {path.split("/")[2] for path in (sys.prefix, sys.base_prefix) if path.startswith("/tmp/")}
for place in places:
    assert not set(os.listdir(place)) - shown, os.listdir(place)
    open(os.path.join(place, name), "w").write(name * 1000)
end = time.monotonic() + 0.15
while time.monotonic() < end:
    assert sum(range(10_000)) == 49_995_000
    time.sleep(0.01)
for place in places:
    assert set(os.listdir(place)) - shown == {name}
    assert open(os.path.join(place, name)).read() == name * 1000
print("honest")
"""
_TIMES = ("cpu_time", "wall_time")
_LIMITS: dict[str, float] = {
    "cpu_time": 10, "wall_time": 60, "memory_bytes": 256 << 20, "processes": 16, "output_bytes": 4 << 20,
    "captured_bytes": 4096, "disk_bytes": 16 << 20, "file_size_bytes": 8 << 20, "open_files": 64,
}  # fmt: skip


def limits(**wanted: float) -> pb.Limits:
    """Small limits, with some in their place."""
    fields: dict[str, Any] = {}
    for name, value in {**_LIMITS, **wanted}.items():
        fields[name] = Duration(nanos=int(value % 1 * 1e9), seconds=int(value)) if name in _TIMES else int(value)
    return pb.Limits(**fields)


def task(kind: str, source: str, arguments: tuple[str, ...] = ()) -> dict[str, Any]:
    """The task of a kind with the tests that go with `task_func` and with the cases."""
    if kind == "script":
        return {"script": pb.ScriptTask(source=source, arguments=arguments)}
    if kind == "unittest":
        return {"unittest": pb.UnittestTask(solution=source, test=TESTS, entry_point="task_func")}
    if kind == "function_check":
        one = pb.FunctionCheckTask(solution=source, entry_point="task_func", check=CHECK)
        return {"function_check": one}
    return {"stdio": pb.StdioTask(source=source, cases=CASES)}


def processes() -> dict[int, int]:
    """Every process of this machine that is not a zombie, with its parent."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] != "Z":
            found[int(path.parent.name)] = int(fields[1])
    return found


def depth(pid: int) -> int:
    """How many PID namespaces a process is in; 0 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((len(line.split()) - 1 for line in text.splitlines() if line.startswith("NSpid:")), 0)


def namespaces(pid: int) -> set[str]:
    """The namespaces of a process, as far as they may be seen."""
    found = set()
    for name in ("user", "pid", "mnt", "net", "ipc", "uts"):
        try:
            found.add(str(Path(f"/proc/{pid}/ns/{name}").readlink()))
        except OSError:
            continue
    return found


def cgroup(pid: int) -> str:
    """The cgroups of a process; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def own_mounts() -> list[str]:
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    return [line for line in lines if line.startswith(("cupel ", "cell "))]


@dataclass
class Target:
    """A server under attack, and what an attacker could want of it."""

    process: subprocess.Popen[bytes]
    stub: Any
    address: str
    secret_file: Path
    listener: socket.socket
    log: Path
    runtime: str = "local"
    token: str = field(default_factory=lambda: secrets.token_hex(12))
    abstract: str = ""
    secret: str = ""
    seen: set[int] = field(default_factory=set)
    seen_namespaces: set[str] = field(default_factory=set)

    def arguments(self) -> tuple[str, ...]:
        """What every hostile script is told: it is assumed to know everything but what it must not reach."""
        host, port = self.listener.getsockname()[:2]
        path = self.address.removeprefix("unix:")
        return (host, str(port), self.abstract, path, str(self.secret_file), self.token, self.secret)

    def send(self, **fields: Any) -> Any:
        """Sends a sample; returns the future of its answer."""
        fields.setdefault("limits", limits())
        sample = pb.Sample(sample_id=secrets.token_hex(4), **fields)
        return self.stub.ExecuteOne.future(pb.ExecuteOneRequest(sample=sample), timeout=100)

    def neighbour(self) -> Any:
        """Sends an honest sample that lives for a while."""
        return self.send(**task("script", NEIGHBOUR, (self.token,)))

    def attack(self, **fields: Any) -> Any:
        """Runs a hostile sample beside honest ones, which must pass, and looks at what is left."""
        beside = self.neighbour()
        attack = self.send(**fields)
        neighbours = []
        while True:
            self.look()
            neighbours.append(beside.result().outcome)
            if attack.done():
                break
            beside = self.neighbour()
        for one in neighbours:
            assert one.verdict == pb.VERDICT_PASSED, (one.explanation, one.error)
            assert one.stdout.head == b"honest\n"
        self.must_be_well()
        return attack.result().outcome

    def must_be_well(self) -> None:
        """Sees that honest samples of every kind pass, and that no cell is left."""
        stdio = "x = int(input())\nprint(x + 1)\nprint(x + 2)\n"
        kinds = {"script": "print(1)", "unittest": HONEST, "function_check": HONEST, "stdio": stdio}
        for answer in [self.send(**task(kind, source)) for kind, source in kinds.items()]:
            outcome = answer.result().outcome
            assert outcome.strict.passed, (outcome.explanation, outcome.error)
        while self.cells() or self.groups():
            time.sleep(0.01)
        assert self.process.poll() is None

    def look(self) -> None:
        """Remembers the processes of the server, and their namespaces."""
        family = self.family()
        for pid in family - self.seen:
            self.seen_namespaces |= namespaces(pid)
        self.seen |= family

    def family(self) -> set[int]:
        """Everything that descends from the server, and from the first processes of its containers."""
        parents = processes()
        first = {self.process.pid, *self.containers().values()}
        found = set(first)
        while more := {child for child, parent in parents.items() if parent in found} - found:
            found |= more
        return found - {self.process.pid}

    def containers(self) -> dict[str, int]:
        """The server's containers that run, with their first processes, as far as these are this machine's."""
        if self.runtime != "docker":
            return {}
        found = {}
        with engine_client() as client:
            for one in containers_of(self.process.pid):
                try:
                    pid = client.api.inspect_container(one.id)["State"]["Pid"]
                except docker.errors.NotFound:
                    continue
                # An engine of another machine tells numbers that mean nothing here.
                if pid and one.id in cgroup(pid):
                    found[one.id] = pid
        return found

    def cells(self) -> set[int]:
        """The processes of cells: two PID namespaces below the worker's first process."""
        outside = depth(next(iter(self.containers().values()), self.process.pid))
        return {pid for pid in self.family() if depth(pid) > outside + 1}

    def groups(self) -> set[str]:
        """The cgroups of cells that somebody is in; empty ones wait for the next cell."""
        own = {f"cupel-{pid}" for pid in self.seen | self.family()}
        found = set()
        for folder, names, _ in os.walk("/sys/fs/cgroup"):
            if Path(folder).name in own:
                found |= {f"{folder}/{name}" for name in names if Path(folder, name, "cgroup.procs").read_text()}
        return found


RUNTIMES = {
    "local": (),
    "docker": ("--runtime", "docker", "--docker-environments", "python", "--environment", "python"),
}


@pytest.fixture(scope="module", params=RUNTIMES)
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    runtime: str = request.param
    if runtime == "docker":
        leave_out_without_engine("python")
    else:
        leave_out_without()
    owned = possessions() if runtime == "docker" else set()
    folder = tmp_path_factory.mktemp("target")
    secret_file = folder / "secret"
    secret_file.write_text("secret", encoding="utf-8")
    address, secret, mounts = f"unix:{folder}/s.sock", secrets.token_hex(16), own_mounts()
    log = folder / "log"
    abstract = f"cupel-{secrets.token_hex(8)}"
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(socket.AF_UNIX) as hidden,
        log.open("wb") as log_file,
    ):
        hidden.bind(f"\0{abstract}")
        hidden.listen()
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "sandbox_server",
                "serve",
                "--listen",
                address,
                "--log-format",
                "json",
                "--slots",
                "4",
                *RUNTIMES[runtime],
            ],
            env={**os.environ, "CUPEL_SANDBOX_PROFILES": "{}", "CUPEL_SECRET": secret},
            stdout=subprocess.PIPE,
            stderr=log_file,
        )
        assert process.stdout is not None
        with process, grpc.insecure_channel(address) as channel:
            assert process.stdout.readline().startswith(b"listening on")
            stub = pb_grpc.SandboxServiceStub(channel)
            one = Target(process, stub, address, secret_file, listener, log, runtime, abstract=abstract, secret=secret)
            one.look()
            yield one
            one.look()
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        must_be_gone(one, mounts)
        if runtime == "docker":
            assert containers_of(process.pid) == []
            assert possessions() == owned
        for door in (listener, hidden):
            door.setblocking(False)
            with pytest.raises(BlockingIOError):
                door.accept()
    words = log.read_text(encoding="utf-8", errors="replace")
    # No sample can break a worker.
    for word in ("anomaly", "worker_lost", "worker_killed", "worker_replaced"):
        assert f'"{word}"' not in words, words


def adopted(inside: set[str]) -> set[int]:
    """The processes in some namespaces that have lost all their parents outside of these.

    The numbers of namespaces are used again: whoever has a living parent outside is of somebody else's.
    """
    parents = processes()
    within = {pid for pid in parents if namespaces(pid) & inside}
    found = set()
    for pid in within:
        ancestor = pid
        while ancestor in within:
            ancestor = parents.get(ancestor, 0)
        if ancestor in {0, 1, os.getpid()}:
            found.add(pid)
    return found


def must_be_gone(target: Target, mounts: list[str]) -> None:
    """Sees that nothing is left of a server that ended."""
    while target.seen & processes().keys():
        time.sleep(0.02)
    while adopted(target.seen_namespaces - namespaces(os.getpid())):
        time.sleep(0.1)
    assert own_mounts() == mounts
    for folder, names, _ in os.walk("/sys/fs/cgroup"):
        assert not {f"cupel-{pid}" for pid in target.seen} & set(names), folder
    for place in ("/", "/tmp", "/var/tmp", "/dev/shm", "/usr", "/usr/lib", "/etc", "/run", os.curdir):
        assert not [path for path in Path(place).iterdir() if target.token in path.name]

"""A server of its own process on the docker runtime, and a look at the containers that are its."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import docker
import grpc
from cupel_client.gen import sandbox_service_pb2 as pb
from cupel_client.gen import sandbox_service_pb2_grpc as pb_grpc
from google.protobuf.duration_pb2 import Duration

from sandbox_server.runtimes.docker import labels
from sandbox_server.runtimes.docker.reaper import Owner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# Says by its name that it is in flight, and goes on for long enough to be killed there.
IN_FLIGHT = """
import ctypes, time
ctypes.CDLL(None).prctl(15, b"{name}", 0, 0, 0)
time.sleep({seconds})
print("done")
"""


def environment(**changes: str) -> dict[str, str]:
    """Returns this environment without Cupel's settings, with changes."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CUPEL_")}
    return {**kept, **changes}


def serve_command(address: str, *words: str) -> list[str]:
    """Returns the command of a server on the docker runtime."""
    usual = ["--runtime", "docker", "--docker-environments", "python", "--environment", "python"]
    return [
        sys.executable, "-m", "sandbox_server", "serve", "--listen", address, "--log-format", "json", *usual, *words
    ]  # fmt: skip


def until(condition: Callable[[], object]) -> None:
    """Waits for what can only be looked at; the test's own timeout bounds it."""
    while not condition():
        time.sleep(0.05)


@dataclass(frozen=True)
class Mine:
    """A container of a server's, as its engine lists it."""

    id: str
    state: str


@contextlib.contextmanager
def engine_client(address: str | None = None) -> Iterator[docker.DockerClient]:
    """Connects to an engine: the usual one, or the one at an address."""
    with contextlib.closing(docker.DockerClient(base_url=address) if address else docker.from_env()) as client:
        yield client


def containers_of(pid: int, engine: str | None = None) -> list[Mine]:
    """The containers of the server of that process id, running or not."""
    with engine_client(engine) as client:
        listed = client.api.containers(all=True, filters={"label": labels.WORKER})
    owners = [(Owner.of(one["Labels"].get(labels.SERVER, "")), one) for one in listed]
    return [Mine(one["Id"], one["State"]) for owner, one in owners if owner is not None and owner.pid == pid]


def running_inside(container: str, name: str, engine: str | None = None) -> int:
    """How many processes of a container call themselves so."""
    with engine_client(engine) as client:
        try:
            rows = client.api.top(container, "-eo pid,comm")["Processes"]
        except docker.errors.APIError:
            return 0  # it ended meanwhile
    return sum(row[-1] == name for row in rows or ())


def possessions(engine: str | None = None) -> set[str]:
    """The names of all volumes and networks of an engine."""
    with engine_client(engine) as client:
        volumes = client.api.volumes()["Volumes"] or []
        return {one["Name"] for one in volumes} | {one["Name"] for one in client.api.networks()}


class Served:
    """A server process on the docker runtime. As a context it waits until the server is ready, and ends it.

    Args:
        folder: Where its socket and log go.
        words: More options.
        engine: The address of its engine; None is the usual one.
        settings: Environment variables.
    """

    def __init__(self, folder: Path, *words: str, engine: str | None = None, **settings: str) -> None:
        folder.mkdir(exist_ok=True)
        self.address = f"unix:{folder}/s.sock"
        self.engine = engine
        self._log = folder / "log"
        at = {"DOCKER_HOST": engine} if engine else {}
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                serve_command(self.address, *words),
                env=environment(**at, **settings),
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self._channel = grpc.insecure_channel(self.address)
        self.stub: Any = pb_grpc.SandboxServiceStub(self._channel)

    def __enter__(self) -> Self:
        assert self.process.stdout is not None
        ready = self.process.stdout.readline()
        assert ready.startswith(b"listening on"), self._log.read_text(encoding="utf-8", errors="replace")
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Ends it, by force if it does not end when asked."""
        self._channel.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    @property
    def containers(self) -> list[Mine]:
        """Its containers."""
        return containers_of(self.process.pid, self.engine)

    @property
    def worker(self) -> str:
        """The id of the one container that runs for it."""
        (one,) = [one for one in self.containers if one.state == "running"]
        return one.id

    def events(self, name: str) -> list[dict[str, Any]]:
        """Returns what it logged of one kind."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        rows = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [row for row in rows if row["event"] == name]

    def script(self, source: str, sample_id: str = "s", seconds: float = 60) -> Any:
        """Sends a sample that is a script; returns the future of its answer."""
        limits = pb.Limits(wall_time=Duration(seconds=int(seconds)))
        sample = pb.Sample(sample_id=sample_id, script=pb.ScriptTask(source=source), limits=limits)
        return self.stub.ExecuteOne.future(pb.ExecuteOneRequest(sample=sample), timeout=110)

    def in_flight(self, name: str, count: int, seconds: float) -> list[Any]:
        """Sends samples that go on for some seconds; returns their answers' futures once all are in their cells."""
        source = IN_FLIGHT.format(name=name, seconds=seconds)
        answers = [self.script(source, f"s{number}") for number in range(count)]
        until(lambda: running_inside(self.worker, name, self.engine) == count)
        return answers

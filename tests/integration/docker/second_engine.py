"""A Docker engine of a test's own: it can be killed, starved of room and left dirty, and nobody else notices."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import docker
import pytest

from tests.engine import LEFT_OUT, leave_out_without_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

IMAGE = "cupel/python:latest"


class SecondEngine:
    """A dockerd with a root, a socket and a containerd of its own. It has no network: nothing here needs one.

    Args:
        folder: Where all of it is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "root"
        self.address = f"unix://{folder}/docker.sock"
        self.root.mkdir()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def client(self) -> docker.DockerClient:
        """A connection to it."""
        return docker.DockerClient(base_url=self.address, timeout=60)

    def start(self) -> None:
        """Starts it, also after `kill`, and waits until it answers; the test's own timeout bounds it."""
        run = self.folder / "run"
        # What a killed one left of this would make the next one wait for a containerd that is dead.
        (run / "containerd" / "containerd.pid").unlink(missing_ok=True)
        words = [
            "dockerd", "--data-root", str(self.root), "--exec-root", str(run), "--pidfile", str(self.folder / "pid"),
            "--host", self.address, "--bridge", "none", "--iptables=false", "--ip-forward=false", "--ip-masq=false",
        ]  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)
        while not self._answers():
            assert self._process.poll() is None, self.log()
            time.sleep(0.05)

    def kill(self) -> None:
        """Kills it and its containerd with SIGKILL, as a machine out of memory would. Containers stay."""
        assert self._process is not None
        containerd = self._containerd()
        self._process.kill()
        self._process.wait()
        if containerd is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(containerd, signal.SIGKILL)
            while Path(f"/proc/{containerd}").exists():
                time.sleep(0.02)
        (self.folder / "pid").unlink(missing_ok=True)

    def load(self, saved: Path) -> None:
        """Loads an image that was saved to a file."""
        with contextlib.closing(self.client) as client, saved.open("rb") as file:
            client.images.load(file)

    def end(self) -> None:
        """Ends it with all it started."""
        if self._process is not None and self._process.poll() is None:
            with contextlib.closing(self.client) as client:
                for container in client.containers.list(all=True, ignore_removed=True):
                    with contextlib.suppress(docker.errors.APIError):
                        container.remove(force=True)
            self._process.terminate()
            self._process.wait()
        for pid in self._shims():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for mount in reversed(self._mounts()):
            subprocess.run(["umount", "--lazy", mount], check=True)
        shutil.rmtree(self.folder)

    def log(self) -> str:
        """What it wrote last."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")[-4000:]

    def _answers(self) -> bool:
        # Not by the SDK, which leaves its sockets open where nobody listens.
        with socket.socket(socket.AF_UNIX) as asking:
            try:
                asking.connect(str(self.folder / "docker.sock"))
                asking.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return b" 200 OK" in asking.recv(100)
            except OSError:
                return False

    def _containerd(self) -> int | None:
        path = self.folder / "run" / "containerd" / "containerd.pid"
        return int(path.read_text(encoding="ascii")) if path.exists() else None

    def _shims(self) -> list[int]:
        """The processes that name this engine's own folder."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if str(self.folder / "run").encode() in path.read_bytes():
                    found.append(int(path.parent.name))
        return found

    def _mounts(self) -> list[str]:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
        return [line.split()[1] for line in lines if line.split()[1].startswith(f"{self.folder}/")]


def leave_out_without_second_engine() -> None:
    """Leaves the running test out where no second engine can be started; in CI, where it has to be, fails it."""
    leave_out_without_engine("python")
    reason = ""
    if os.geteuid() != 0:
        reason = "only root can start a second engine"
    elif shutil.which("dockerd") is None:
        reason = "there is no dockerd for a second engine"
    if reason and os.environ.get("CI"):
        pytest.fail(f"{LEFT_OUT}: {reason}; in CI it has to be possible", pytrace=False)
    if reason:
        pytest.skip(f"{LEFT_OUT}: {reason}")


@contextlib.contextmanager
def second_engine(*, room_bytes: int | None = None) -> Iterator[SecondEngine]:
    """Runs a second engine that has the lean image.

    Args:
        room_bytes: The size of the disk that it has to itself; None shares the machine's.
    """
    leave_out_without_second_engine()
    # Not pytest's folder: the path of a Unix socket has to be short.
    engine = SecondEngine(Path(tempfile.mkdtemp(prefix="engine-")))
    try:
        if room_bytes is not None:
            words = ["mount", "-t", "tmpfs", "-o", f"size={room_bytes}", "tests", str(engine.root)]
            subprocess.run(words, check=True)
        engine.start()
        engine.load(_saved_image(engine.folder))
        yield engine
    finally:
        engine.end()


def _saved_image(folder: Path) -> Path:
    """Saves the lean image of the usual engine to a file."""
    saved = folder / "image.tar"
    with contextlib.closing(docker.from_env()) as client, saved.open("wb") as file:
        for piece in client.images.get(IMAGE).save(named=True):
            file.write(piece)
    return saved

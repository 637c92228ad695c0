"""The sandbox server that a run starts for itself: a child process on a private Unix socket.

There is one way to a server, gRPC, whether it is a child or a fleet. The child is started in a session of its
own, so that Ctrl-C reaches the run alone, which then decides; it dies with the run however the run dies.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from orchestrator.dispatch.endpoints import Endpoint
from orchestrator.dispatch.private_folder import PrivateFolder
from orchestrator.errors import NoSandboxError
from orchestrator.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMAND = (sys.executable, "-P", "-m", "sandbox_server", "serve")
"""`-P`: a module in the user's working directory must not shadow the server's own."""

_FAST_FAILURES = 5
"""How often in a row the server may be lost without having answered anything."""
_STOP_GRACE_S = 10.0
_POLL_S = 0.05
_HEALTH_TIMEOUT_S = 5.0
_LONGEST_SOCKET_PATH = 100
"""Linux takes 107 bytes."""
_LOG_TAIL_BYTES = 4096
_LOG_TAIL_LINES = 12


class EmbeddedServer:
    """Starts a sandbox server, restarts it when it dies, and stops it.

    Args:
        arguments: What follows `serve --listen ADDR --die-with-parent`.
        log: Where its log goes; lines are added to what is there.
        start_timeout_s: How long it may take until it serves: workers start and import their libraries.
        command: The program and its words up to `serve`.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        log: Path,
        start_timeout_s: float = 120.0,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._arguments = arguments
        self._log = log
        self._start_timeout_s = start_timeout_s
        self._command = command
        self._folder: PrivateFolder | None = None
        self._process: asyncio.subprocess.Process | None = None

    async def open(self) -> Sequence[Endpoint]:
        """Starts the server and waits until it serves."""
        self._folder = PrivateFolder()
        socket = self._folder.path / "sock"
        if len(bytes(socket)) > _LONGEST_SOCKET_PATH:
            raise NoSandboxError(f"{socket} is too long for a Unix socket; set TMPDIR to a shorter folder")
        endpoint = Endpoint("embedded", f"unix:{socket}")
        await self._start(endpoint)
        return [endpoint]

    async def revive(self, endpoint: Endpoint, failures: int, reason: str) -> None:
        """Starts the server again; gives up when it keeps dying without having answered anything."""
        if failures >= _FAST_FAILURES:
            raise self._gone(f"was lost {failures} times in a row without an answer ({reason})")
        await self._stop(signal.SIGKILL)
        await self._start(endpoint)

    async def close(self) -> None:
        """Stops the server; nothing of it is left when this returns, but for its log."""
        await self._stop(signal.SIGTERM)
        if self._folder is not None:
            self._folder.remove()
            self._folder = None

    async def _start(self, endpoint: Endpoint) -> None:
        """Starts the process and waits for its health service to say SERVING."""
        _remove_socket(endpoint)
        words = [*self._command, "--listen", endpoint.target, "--die-with-parent", *self._arguments]
        try:
            with self._log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
        except OSError as error:
            raise NoSandboxError(f"the embedded sandbox server does not start: {error}") from error
        try:
            async with asyncio.timeout(self._start_timeout_s):
                while not await _is_serving(endpoint):
                    if self._process.returncode is not None:
                        raise self._gone(f"ended with exit code {self._process.returncode} before it served")
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            await self._stop(signal.SIGKILL)
            raise self._gone(f"did not serve within {self._start_timeout_s:g} s") from error

    async def _stop(self, first: signal.Signals) -> None:
        """Ends the process: by the given signal, by SIGKILL if that takes too long."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.send_signal(first)
        try:
            async with asyncio.timeout(_STOP_GRACE_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    def _gone(self, what: str) -> NoSandboxError:
        """Returns an error that tells what the server said last."""
        tail = log_tail(self._log)
        said = f" Its last words:\n{tail}" if tail else ""
        return NoSandboxError(f"the embedded sandbox server {what}. Its log: {self._log}.{said}")


def _has_socket(endpoint: Endpoint) -> bool:
    """Returns whether the server has made its socket."""
    return Path(endpoint.target.removeprefix("unix:")).exists()


def _remove_socket(endpoint: Endpoint) -> None:
    """Removes the socket that a dead server left."""
    Path(endpoint.target.removeprefix("unix:")).unlink(missing_ok=True)


async def _is_serving(endpoint: Endpoint) -> bool:
    """Returns whether a server's health service says SERVING."""
    if not _has_socket(endpoint):
        return False
    channel = endpoint.channel()
    try:
        answer = await health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(), timeout=_HEALTH_TIMEOUT_S
        )
    except grpc.aio.AioRpcError:
        return False  # not yet listening; the process and the clock bound how often this is asked
    finally:
        await channel.close()
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def log_tail(log: Path) -> str:
    """Returns the last lines of a log, safe to print; empty if there are none."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(stream.seek(0, 2) - _LOG_TAIL_BYTES, 0))
            text = stream.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(f"  {printable(line)}" for line in text.splitlines()[-_LOG_TAIL_LINES:])

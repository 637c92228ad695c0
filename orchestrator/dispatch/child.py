"""The process of the sandbox server that a run starts for itself: its folder, its socket, its log, its end.

It is started as soon as a run knows that it needs one, before gRPC and all else that costs is imported: the
server boots on another core meanwhile. So this module needs the standard library only. Whoever starts a child
ends it, whatever happens in between; what is said over its socket is in `embedded`.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from signal import SIGKILL, SIGTERM
from typing import TYPE_CHECKING

from orchestrator.dispatch.private_folder import PrivateFolder
from orchestrator.errors import NoSandboxError
from orchestrator.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from signal import Signals
    from typing import Self

COMMAND = (sys.executable, "-P", "-m", "sandbox_server", "serve")
"""`-P`: a module in the user's working directory must not shadow the server's own."""

STOP_GRACE_S = 10.0
"""How long a child may take to end when it is asked to."""
_LONGEST_SOCKET_PATH = 100
"""Linux takes 107 bytes."""
_LOG_TAIL_BYTES = 4096
_LOG_TAIL_LINES = 12


class Child:
    """A sandbox server as a child process on a private Unix socket; ended when its `with` block is left.

    It is started in a session of its own, so that Ctrl-C reaches the run alone, which then decides; it dies
    with the run however the run dies.

    Args:
        arguments: What follows `serve --listen ADDR --die-with-parent`.
        log: Where its log goes; lines are added to what is there.
        command: The program and its words up to `serve`.
    """

    def __init__(self, arguments: Sequence[str], log: Path, command: Sequence[str] = COMMAND) -> None:
        self._arguments = arguments
        self._log = log
        self._command = command
        self._folder: PrivateFolder | None = None
        self._process: _Process | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves nothing of it but its log."""
        try:
            self.end(SIGTERM)
        finally:
            if self._folder is not None:
                self._folder.remove()
                self._folder = None

    @property
    def process_id(self) -> int | None:
        """The id of its process; None when there is none."""
        return None if self._process is None else self._process.process_id

    @property
    def exit_code(self) -> int | None:
        """How its process ended; None while it runs, and when there is none."""
        return None if self._process is None else self._process.exit_code

    @property
    def socket(self) -> Path:
        """Where it listens; only of a child that was started."""
        assert self._folder is not None, "the child was not started"
        return self._folder.path / "sock"

    def start(self) -> None:
        """Starts the process; it does not serve yet when this returns.

        Raises:
            errors.NoSandboxError: It cannot be started.
        """
        assert self._process is None, "the child was not ended"
        if self._folder is None:
            self._folder = PrivateFolder()
        if len(bytes(self.socket)) > _LONGEST_SOCKET_PATH:
            raise NoSandboxError(f"{self.socket} is too long for a Unix socket; set TMPDIR to a shorter folder")
        self.socket.unlink(missing_ok=True)  # that of a server that died
        words = [*self._command, "--listen", f"unix:{self.socket}", "--die-with-parent", *self._arguments]
        try:
            with self._log.open("ab") as log:
                self._process = _Process(words, log.fileno())
        except OSError as error:
            raise NoSandboxError(f"the embedded sandbox server does not start: {error}") from error

    def ask_to_end(self) -> None:
        """Asks the process to end in good order, and does not wait for it."""
        if self._process is not None:
            self._process.send(SIGTERM)

    def end(self, first: Signals) -> None:
        """Ends the process: by the given signal, by SIGKILL if that takes too long. Returns when it is gone."""
        if self._process is None:
            return
        self._process.send(first)
        try:
            gone = self._process.wait(STOP_GRACE_S)
        except BaseException:  # Ctrl-C by somebody in a hurry
            self._process.send(SIGKILL)
            raise
        if not gone:
            self._process.send(SIGKILL)
            self._process.wait(None)
        self._process = None

    def gone(self, what: str) -> NoSandboxError:
        """Returns an error that tells what the server said last."""
        tail = log_tail(self._log)
        said = f" Its last words:\n{tail}" if tail else ""
        return NoSandboxError(f"the embedded sandbox server {what}. Its log: {self._log}.{said}")


class _Process:
    """A process, and a thread that waits for its end.

    `Popen.wait` with a timeout looks again and again, up to 50 ms apart; waiting in a thread needs no looking,
    and no kernel with pidfds either.
    """

    def __init__(self, words: Sequence[str], log: int) -> None:
        self._process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        self._waiter = threading.Thread(target=self._process.wait, name="embedded server", daemon=True)
        try:
            self._waiter.start()
        except BaseException:  # no thread is to be had, or Ctrl-C: nobody knows of the process yet
            self._process.kill()
            self._process.wait()
            raise

    @property
    def process_id(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.returncode

    def send(self, number: Signals) -> None:
        """Sends a signal, if the process is still there."""
        self._process.send_signal(number)

    def wait(self, timeout_s: float | None) -> bool:
        """Waits for the end; returns whether it came."""
        self._waiter.join(timeout_s)
        return not self._waiter.is_alive()


def log_tail(log: Path) -> str:
    """Returns the last lines of a log, safe to print; empty if there are none."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(stream.seek(0, 2) - _LOG_TAIL_BYTES, 0))
            text = stream.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(f"  {printable(line)}" for line in text.splitlines()[-_LOG_TAIL_LINES:])

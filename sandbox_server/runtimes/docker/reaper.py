"""Removes containers of servers that are gone.

A container ends by itself when its server dies, since its input is closed then, and the engine removes it. What is left
all the same (a container created and not started, an agent that hangs, an engine that died in between) is removed here,
when a server starts and at intervals. A container of a server that lives, here or elsewhere, is never touched.
"""

from __future__ import annotations

import json
import os
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from sandbox_server.errors import WorkerStartError
from sandbox_server.runtimes.docker import labels

if TYPE_CHECKING:
    from sandbox_server.runtimes.docker.engine import Engine, Listed

_ABANDONED_S = 600.0
"""How long a container of a server that cannot be asked has to lie idle before it counts as left behind."""
_STARTED_FIELD = 19  # of /proc/PID/stat, counted after the name

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Owner:
    """A server process, such that another one on the same machine can tell whether it lives."""

    host: str
    boot: str
    pid_namespace: int
    pid: int
    started: int
    """When it was started, in clock ticks since the machine's start."""

    @classmethod
    def this_process(cls) -> Owner:
        """Returns the calling process."""
        pid = os.getpid()
        return cls(*_machine(), pid, _started(pid) or 0)

    @classmethod
    def of(cls, label: str) -> Owner | None:
        """Reads a label; None if no server of this version wrote it."""
        try:
            fields = json.loads(label)
            return cls(
                str(fields["host"]), str(fields["boot"]), int(fields["pid_namespace"]), int(fields["pid"]),
                int(fields["started"]),
            )  # fmt: skip
        except (ValueError, KeyError, TypeError):
            return None

    def label(self) -> str:
        """Returns what `of` reads."""
        return json.dumps(asdict(self))

    @property
    def lives(self) -> bool | None:
        """Whether it lives; None if that cannot be told from here."""
        if (self.host, self.boot, self.pid_namespace) != _machine():
            return None
        return _started(self.pid) == self.started


async def reap(engine: Engine) -> int:
    """Removes what dead servers left; returns how many containers that were.

    Raises:
        EngineUnavailableError: The engine does not answer.
    """
    left = [one for one in await engine.containers() if is_left(one, time.time())]
    reaped = 0
    for one in left:
        try:
            await engine.remove(one.container_id)
        except WorkerStartError as error:
            _log.warning("container_not_removed", container=one.container_id[:12], error=str(error))
        else:
            reaped += 1
            _log.info("container_reaped", container=one.container_id[:12], state=one.state)
    return reaped


def is_left(one: Listed, now_s: float) -> bool:
    """Returns whether a container is left of a server that is gone."""
    owner = Owner.of(one.labels.get(labels.SERVER, ""))
    lives = owner.lives if owner is not None else None
    if lives is not None:
        return not lives
    return one.state != "running" and now_s - one.created_s > _ABANDONED_S


def _machine() -> tuple[str, str, int]:
    boot = Path("/proc/sys/kernel/random/boot_id")
    namespace = Path("/proc/self/ns/pid")
    return (
        socket.gethostname(),
        boot.read_text(encoding="ascii").strip() if boot.exists() else "",
        namespace.stat().st_ino if namespace.exists() else 0,
    )


def _started(pid: int) -> int | None:
    """Returns when a process was started, in clock ticks since the machine's start; None if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    return int(text.rpartition(")")[2].split()[_STARTED_FIELD])

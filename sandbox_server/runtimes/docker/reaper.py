"""Removes containers of servers that are gone.

A container ends by itself when its server dies, since its input is closed then, and the engine removes it. What is left
all the same (a container created and not started, an agent that hangs, an engine that died in between) is removed here,
when a server starts and at intervals. A container of another server that lives, here or elsewhere, is never touched; of
its own a server removes those that none of its workers holds, which come of an engine that did not answer in time.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from sandbox_server.errors import EngineUnavailableError, WorkerStartError
from sandbox_server.runtimes.docker import labels

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from sandbox_server.runtimes.docker.engine import Engine, Listed

_ABANDONED_S = 600.0
"""How long a container of a server that cannot be asked has to lie idle before it counts as left behind."""
_STRAY_S = 60.0
"""How long a container of this server's own has to be nobody's: an engine may answer late that it has created one."""
_STARTED_FIELD = 19  # of /proc/PID/stat, counted after the name
_ENDED_STATES = frozenset("ZXx")

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
    runtime: str = ""
    """Which of its runtimes, where a process has several."""

    @classmethod
    def this_process(cls) -> Owner:
        """Returns the calling process, with a name of its own for one more runtime."""
        pid = os.getpid()
        return cls(*_machine(), pid, _started(pid) or 0, secrets.token_hex(4))

    @classmethod
    def of(cls, label: str) -> Owner | None:
        """Reads a label; None if no server of this version wrote it."""
        try:
            fields = json.loads(label)
            return cls(
                str(fields["host"]), str(fields["boot"]), int(fields["pid_namespace"]), int(fields["pid"]),
                int(fields["started"]), str(fields.get("runtime", "")),
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


class Reaper:
    """Removes what dead servers left, and what this one lost.

    Args:
        engine: Where.
        owner: This server, as its containers are labelled.
        held: Returns the ids of the containers that this server's workers are.
    """

    def __init__(self, engine: Engine, owner: str, held: Callable[[], Collection[str]]) -> None:
        self._engine = engine
        self._owner = owner
        self._held = held
        self._strays: dict[str, float] = {}

    async def reap(self) -> int:
        """Removes what is left; returns how many containers that were.

        Raises:
            EngineUnavailableError: The engine does not answer.
            WorkerStartError: It refuses to list containers.
        """
        listed = await self._engine.containers()
        left = [one for one in listed if is_left(one, time.time())]
        reaped = 0
        for one in left + self._stray(listed, time.monotonic()):
            try:
                await self._engine.remove(one.container_id)
            except EngineUnavailableError:
                raise
            except WorkerStartError as error:
                _log.warning("container_not_removed", container=one.container_id[:12], error=str(error))
            else:
                reaped += 1
                _log.info("container_reaped", container=one.container_id[:12], state=one.state)
        return reaped

    def _stray(self, listed: Collection[Listed], now_s: float) -> list[Listed]:
        """Returns the containers of this server's own that have been nobody's for long enough."""
        held = self._held()
        nobodys = [
            one for one in listed if one.labels.get(labels.SERVER) == self._owner and one.container_id not in held
        ]
        self._strays = {one.container_id: self._strays.get(one.container_id, now_s) for one in nobodys}
        return [one for one in nobodys if now_s - self._strays[one.container_id] >= _STRAY_S]


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
    fields = text.rpartition(")")[2].split()
    # One that has ended keeps its number until its parent looks, which some parents never do.
    return None if fields[0] in _ENDED_STATES else int(fields[_STARTED_FIELD])

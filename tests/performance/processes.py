"""CPU time and memory of the processes of a run, by their part in it.

Read from /proc, at intervals, because the kernel tells a parent only of children that were waited for: what a
worker's PID namespace takes with it at its end is in no parent's account.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from types import TracebackType

_TICKS = os.sysconf("SC_CLK_TCK")
_INTERVAL_S = 0.1
_AGENT = "agent/launch.py"
ROLES = ("orchestrator", "server", "agent", "zygotes", "cells")


class Times(NamedTuple):
    """CPU seconds of a process, and of its children that ended and were waited for."""

    own: float
    children: float


class Family(NamedTuple):
    """The long-lived processes below a run, or below a server, by role."""

    orchestrator: tuple[int, ...]
    server: tuple[int, ...]
    agent: tuple[int, ...]
    """What starts the agent, and at last the agent itself."""
    zygotes: tuple[int, ...]


def family(process_id: int) -> Family:
    """Returns the processes below an orchestrator or a server, as far as they can be seen."""
    is_server = "sandbox_server" in _command(process_id) or "cupel-sandbox" in _command(process_id)
    servers = [process_id] if is_server else _children(process_id)
    chain = [child for server in servers for child in _children(server) if _AGENT in _command(child)]
    for process in chain:  # grows: the agent is the first process of its worker's PID namespace
        if not _is_first_of_namespace(process):
            chain += _children(process)
    zygotes = [child for agent in chain if _is_first_of_namespace(agent) for child in _children(agent)]
    return Family(() if is_server else (process_id,), tuple(servers), tuple(chain), tuple(zygotes))


def times(process_id: int) -> Times | None:
    """Returns the CPU time of a process; None when it is gone."""
    try:
        text = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = [int(word) / _TICKS for word in text.rsplit(")", 1)[1].split()[11:15]]
    return Times(fields[0] + fields[1], fields[2] + fields[3])


def resident_kib(process_id: int) -> int:
    """Returns the resident memory of a process, in KiB."""
    for line in Path(f"/proc/{process_id}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise ProcessLookupError(process_id)


class RoleTimes:
    """Watches a run while a block lasts, and then knows how much CPU time each role took.

    What a process used in its last tenth of a second may be missing.

    Args:
        process_id: The orchestrator, or a server.
    """

    def __init__(self, process_id: int) -> None:
        self._process_id = process_id
        self._seen: dict[tuple[str, int], Times] = {}
        self._first: dict[tuple[str, int], Times] = {}
        self._over = threading.Event()
        self._watching = threading.Thread(target=self._watch, name="role times", daemon=True)

    def __enter__(self) -> Self:
        self._look()
        self._first = dict(self._seen)
        self._watching.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._watching.join()
        self._look()

    @property
    def seconds(self) -> dict[str, float]:
        """CPU seconds by role, in the order of `ROLES`."""
        found: defaultdict[str, float] = defaultdict(float)
        for (role, process_id), seen in self._seen.items():
            before = self._first.get((role, process_id), Times(0.0, 0.0))
            found[role] += seen.own - before.own
            if role == "zygotes":
                found["cells"] += seen.children - before.children
        return {role: found[role] for role in ROLES}

    def _watch(self) -> None:
        while not self._over.wait(_INTERVAL_S):
            self._look()

    def _look(self) -> None:
        for role, process_ids in family(self._process_id)._asdict().items():
            for process_id in process_ids:
                seen = times(process_id)
                if seen is not None:
                    self._seen[role, process_id] = seen


def _children(process_id: int) -> list[int]:
    found: list[int] = []
    try:
        for thread in Path(f"/proc/{process_id}/task").iterdir():
            found += [int(word) for word in (thread / "children").read_text(encoding="ascii").split()]
    except (FileNotFoundError, ProcessLookupError):
        return found  # it ended while it was looked at
    return found


def _is_first_of_namespace(process_id: int) -> bool:
    try:
        lines = Path(f"/proc/{process_id}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return False
    (numbers,) = (line.split()[1:] for line in lines if line.startswith("NSpid:"))
    return len(numbers) > 1 and numbers[-1] == "1"


def _command(process_id: int) -> str:
    try:
        return Path(f"/proc/{process_id}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""

"""The agent's loop: frames in, cells out, facts back. One thread; what takes time happens in the cells."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Tuple

from . import errands, inventory, protocol, tree, zygote
from .started import Finish, OnActivity, StartedCell
from .walls import cgroup, probe
from .walls.limits import PROCESS_HEADROOM

if TYPE_CHECKING:
    import socket

    from .worker import Worker

_PROFILE_NONE, _PROFILE_STANDARD = "none", "standard"
# What small programs import. Each page of a zygote's memory costs every cell: with all of _STANDARD a fork and its
# end take 0.3 ms more.
_LEAN = (
    "bisect", "collections", "copy", "datetime", "decimal", "functools", "hashlib", "heapq", "itertools", "json",
    "math", "operator", "random", "re", "string", "typing",
)  # fmt: skip
# What tests and longer programs import. Seen to survive a fork: none of them starts a thread.
_STANDARD = (
    *_LEAN, "argparse", "array", "ast", "base64", "contextlib", "csv", "dataclasses", "enum", "fractions", "glob",
    "inspect", "io", "logging", "numbers", "pathlib", "pickle", "pprint", "queue", "secrets", "shutil", "socket",
    "statistics", "struct", "subprocess", "tempfile", "textwrap", "threading", "time", "traceback", "types", "unittest",
    "unittest.mock", "urllib.parse", "urllib.request", "uuid", "warnings", "zipfile",
)  # fmt: skip
_TICK_S = 1.0


class _Zygote:
    """A zygote, from outside."""

    __slots__ = ("control", "pid", "profile")

    def __init__(self, profile: str, pid: int, control: socket.socket) -> None:
        self.profile = profile
        self.pid = pid
        self.control = control


class Agent:
    """The agent of one worker.

    Args:
        stream: Frames to and from the server.
        hello: The server's first frame.
        built: What cells are built with.
    """

    def __init__(self, stream: protocol.Stream, hello: Dict[str, Any], built: Worker) -> None:
        self._stream = stream
        self._built = built
        self._profiles: Dict[str, Tuple[str, ...]] = {_PROFILE_NONE: _LEAN, _PROFILE_STANDARD: _STANDARD}
        for name, modules in hello.get("profiles", {}).items():
            self._profiles[name] = (*_STANDARD, *modules)
        self._zygotes: Dict[str, _Zygote] = {}
        self._cells: Dict[int, StartedCell] = {}
        self._handlers: Dict[int, Callable[[int], None]] = {}
        self._poll = select.poll()
        self._stopping = False
        self._next_tick = 0.0

    def serve(self) -> None:
        """Tests the walls, says that the worker is ready, and runs samples until the server closes the stream."""
        self.watch(self._stream.read_fd, select.POLLIN, self._on_server)
        self._send({"op": "ready", **self._describe()})
        while not self._stopping:
            self._turn()
        if not self._built.blueprint.file_view:
            for pid in tree.descendants(os.getpid()):
                os.kill(pid, signal.SIGKILL)
        # In namespaces the agent is their first process: everything in them ends with it.

    def _describe(self) -> Dict[str, Any]:
        found: List[Dict[str, Any]] = []
        spec = errands.probe()
        self._run(-1, spec, found.append)
        while not found and not self._stopping:
            self._turn()
        if self._stopping:
            raise SystemExit(0)
        memory = probe.Wall("memory_limit", True, self._built.memory_detail)
        seen = errands.printed(found[0])
        walls = probe.judge(seen, probe.own_namespaces(), spec["limits"], self._built.outer_uid, memory)
        return {
            "python": "%d.%d.%d" % sys.version_info[:3],
            **inventory.take(),
            "profiles": sorted(self._profiles),
            "walls": [wall._asdict() for wall in walls],
            "memory_source": self._built.blueprint.memory_source,
        }

    # The loop

    def watch(self, descriptor: int, events: int, handler: Callable[[int], None]) -> None:
        """Has a handler called with the events of a descriptor; again, to change the events."""
        self._handlers[descriptor] = handler
        self._poll.register(descriptor, events)

    def forget(self, descriptor: int) -> None:
        """Undoes `watch`, if it was done."""
        if self._handlers.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def _turn(self) -> None:
        wake = min([self._next_tick, *[cell.next_event for cell in self._cells.values()]])
        for descriptor, events in self._poll.poll(max(0, int((wake - time.monotonic()) * 1000) + 1)):
            handler = self._handlers.get(descriptor)
            if handler is not None:  # an earlier handler of this turn may have forgotten it
                handler(events)
        now = time.monotonic()
        for cell in [cell for cell in self._cells.values() if now >= cell.next_event]:
            cell.look()
        if now >= self._next_tick:
            self._tick(now)

    def _tick(self, now: float) -> None:
        self._next_tick = now + _TICK_S
        if self._built.cgroups is not None:
            self._built.cgroups.tidy()
        while True:  # as the first process of its namespace the agent gets what has lost its parent
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for one in [one for one in self._zygotes.values() if one.pid == pid]:
                self._lose(one)

    # The server

    def _send(self, message: Dict[str, Any]) -> None:
        self._stream.send(message)
        if self._stream.wants_to_write:
            self.watch(self._stream.write_fd, select.POLLOUT, self._on_server_writable)

    def _on_server_writable(self, _: int) -> None:
        self._stream.flush()
        if not self._stream.wants_to_write:
            self.forget(self._stream.write_fd)

    def _on_server(self, _: int) -> None:
        for message in self._stream.receive():
            self._obey(message)
        if self._stream.closed:
            self._stopping = True

    def _obey(self, message: Dict[str, Any]) -> None:
        operation = message.get("op")
        if operation == "run":
            number = message["cell"]
            self._run(
                number,
                message["spec"],
                lambda facts: self._send({**facts, "op": "facts", "cell": number}),
                lambda asleep: self._send({"op": "activity", "cell": number, "asleep": asleep}),
            )
        elif operation == "cancel":
            if message["cell"] in self._cells:
                self._cells[message["cell"]].cancel()
        elif operation == "parse":
            number = message["cell"]
            self._run(number, errands.parse(message["source"]), lambda facts: self._send_parsed(number, facts))
        elif operation == "stop":
            self._stopping = True

    def _send_parsed(self, number: int, facts: Dict[str, Any]) -> None:
        try:
            fault = errands.printed(facts)
        except ValueError:  # the parser itself crashed or ran into a limit: no program that parses does that
            fault = {"message": "the parser did not survive this source", "line": 0, "column": 0}
        self._send({"op": "parsed", "cell": number, "fault": fault})

    # Cells

    def _run(self, number: int, spec: Dict[str, Any], finish: Finish, on_activity: Optional[OnActivity] = None) -> None:
        group = None
        try:
            chosen = self._zygote(self._profile(spec))
            if self._built.cgroups is not None:
                limits = spec["limits"]
                processes = limits["processes"] + PROCESS_HEADROOM
                group = self._built.cgroups.take(limits["memory_bytes"], processes)
            cell = StartedCell(number, spec, self._built.blueprint, group, chosen.pid, self, finish, on_activity)
            self._cells[number] = cell
            cell.start(chosen.control)
        except OSError as error:
            self._cells.pop(number, None)
            self._give_back(group)
            finish({"sandbox_fault": {"reason": "CELL_NOT_BUILT", "message": str(error)}})

    def _profile(self, spec: Dict[str, Any]) -> str:
        profile: str = spec["profile"]
        if profile in self._profiles and profile != _PROFILE_NONE:
            return profile
        return _PROFILE_STANDARD if spec["kind"] == "unittest" else _PROFILE_NONE

    def _zygote(self, profile: str) -> _Zygote:
        if profile not in self._zygotes:
            keep = [*self._handlers, self._stream.write_fd]
            for cell in self._cells.values():
                keep += cell.descriptors()
            keep += self._built.cgroups.descriptors() if self._built.cgroups else []
            pid, control = zygote.start(self._profiles[profile], self._built.blueprint, sorted(set(keep)))
            made = _Zygote(profile, pid, control)
            self._zygotes[profile] = made
            self.watch(control.fileno(), select.POLLIN, lambda _: self._on_zygote(made))
        return self._zygotes[profile]

    def _on_zygote(self, one: _Zygote) -> None:
        notice = zygote.notice(one.control)
        if notice is None:
            self.forget(one.control.fileno())  # it is dead; the next tick sees to that
            return
        cell = self._cells.get(notice.number)
        if cell is not None and cell.zygote_pid == one.pid and cell.take(notice):
            self._finish(cell)

    def _finish(self, cell: StartedCell) -> None:
        """Sends the facts of a cell of which nothing is left."""
        del self._cells[cell.number]
        facts = cell.facts()
        self._give_back(cell.group)
        cell.finish(facts)

    def _give_back(self, group: Optional[cgroup.Group]) -> None:
        if group is not None and self._built.cgroups is not None:
            self._built.cgroups.give_back(group)

    def _lose(self, one: _Zygote) -> None:
        """Gives up a zygote that died, and its cells with it. The next sample starts another.

        Its samples' processes died with it. The cells' first processes became ours, and nothing else did.
        """
        self.forget(one.control.fileno())
        one.control.close()
        del self._zygotes[one.profile]
        zygotes = {other.pid for other in self._zygotes.values()}
        for pid in tree.children(os.getpid()):
            if pid not in zygotes:
                os.kill(pid, signal.SIGKILL)
        for cell in [cell for cell in self._cells.values() if cell.zygote_pid == one.pid]:
            self._finish(cell)
        self._send({"op": "anomaly", "message": "the zygote of profile %r died" % one.profile})

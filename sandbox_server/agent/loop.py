"""The agent's loop: frames in, cells out, facts back. One thread; what takes time happens in the cells."""

from __future__ import annotations

import json
import os
import platform
import select
import signal
import socket
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from . import digest, errands, protocol, stdio, tree, zygote
from .walls import cgroup, probe
from .walls.limits import PROCESS_HEADROOM
from .worker import Worker

_PROFILE_NONE = "none"
# What nearly every sample imports. Seen to survive a fork: none of them starts a thread.
_STANDARD = (
    "argparse", "array", "ast", "base64", "bisect", "collections", "contextlib", "copy", "csv", "dataclasses", "datetime",
    "decimal", "enum", "fractions", "functools", "glob", "hashlib", "heapq", "inspect", "io", "itertools", "json",
    "logging", "math", "numbers", "operator", "os", "pathlib", "pickle", "pprint", "queue", "random", "re",
    "secrets", "shutil", "socket", "statistics", "string", "struct", "subprocess", "tempfile", "textwrap", "threading",
    "time", "traceback", "types", "typing", "unittest", "unittest.mock", "urllib.parse", "urllib.request", "uuid",
    "warnings", "zipfile",
)  # fmt: skip
# Beyond the sample's own limits, before the agent concludes that a cell's supervisor is stuck.
_BACKSTOP_FACTOR, _BACKSTOP_S = 4.0, 30.0
_TICK_S = 1.0
Finish = Callable[[Dict[str, Any]], None]


class _Cell:
    """One cell, from outside."""

    __slots__ = ("cancelled", "cases", "deadline", "ended", "facts", "finish", "group", "limits", "number", "stream", "zygote")

    def __init__(
        self,
        number: int,
        stream: protocol.Stream,
        zygote_of: "_Zygote",
        group: Optional[cgroup.Group],
        cases: Optional[stdio.Cases],
        limits: Dict[str, Any],
        finish: Finish,
    ) -> None:
        self.number = number
        self.stream = stream
        self.zygote = zygote_of
        self.group = group
        self.cases = cases
        self.limits = limits
        self.finish = finish
        self.facts: Optional[Dict[str, Any]] = None
        self.cancelled = False
        self.ended = False
        self.rearm()

    def rearm(self) -> None:
        """Sets the time at which the agent gives the cell's supervisor up."""
        self.deadline = time.monotonic() + _BACKSTOP_FACTOR * self.limits["wall_s"] + _BACKSTOP_S


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
        self._profiles: Dict[str, Tuple[str, ...]] = {_PROFILE_NONE: _STANDARD}
        for name, modules in hello.get("profiles", {}).items():
            self._profiles[name] = (*_STANDARD, *modules)
        self._zygotes: Dict[str, _Zygote] = {}
        self._cells: Dict[int, _Cell] = {}
        self._handlers: Dict[int, Callable[[int], None]] = {}
        self._groups_left: List[cgroup.Group] = []
        self._poll = select.poll()
        self._stopping = False
        self._next_tick = 0.0

    def serve(self) -> None:
        """Tests the walls, says that the worker is ready, and runs samples until the server closes the stream."""
        self._watch(self._stream.read_fd, select.POLLIN, self._on_server)
        self._send({"op": "ready", **self._describe()})
        while not self._stopping:
            self._turn()
        if not self._built.blueprint.namespaces:
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
            "python": platform.python_version(),
            "digest": digest.of_interpreter(),
            "profiles": sorted(self._profiles),
            "walls": [wall._asdict() for wall in walls],
            "memory_source": self._built.blueprint.memory_source,
        }

    # The loop

    def _watch(self, descriptor: int, events: int, handler: Callable[[int], None]) -> None:
        self._handlers[descriptor] = handler
        self._poll.register(descriptor, events)

    def _forget(self, descriptor: int) -> None:
        del self._handlers[descriptor]
        self._poll.unregister(descriptor)

    def _turn(self) -> None:
        wait_s = max(0.0, self._next_tick - time.monotonic())
        for descriptor, events in self._poll.poll(int(wait_s * 1000) + 1):
            handler = self._handlers.get(descriptor)
            if handler is not None:  # an earlier handler of this turn may have forgotten it
                handler(events)
        if time.monotonic() >= self._next_tick:
            self._tick()

    def _tick(self) -> None:
        now = time.monotonic()
        self._next_tick = now + _TICK_S
        for cell in self._cells.values():
            if now > cell.deadline:
                cell.deadline = now + _BACKSTOP_S
                zygote.kill(cell.zygote.control, cell.number)
        self._groups_left = [group for group in self._groups_left if not group.remove()]
        self._reap_orphans()

    def _reap_orphans(self) -> None:
        """Waits for what has no other parent any more: cells of a zygote that died."""
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return

    # The server

    def _send(self, message: Dict[str, Any]) -> None:
        self._stream.send(message)
        if self._stream.wants_to_write and self._stream.write_fd not in self._handlers:
            self._watch(self._stream.write_fd, select.POLLOUT, self._on_server_writable)

    def _on_server_writable(self, _: int) -> None:
        self._stream.flush()
        if not self._stream.wants_to_write:
            self._forget(self._stream.write_fd)

    def _on_server(self, _: int) -> None:
        for message in self._stream.receive():
            self._obey(message)
        if self._stream.closed:
            self._stopping = True

    def _obey(self, message: Dict[str, Any]) -> None:
        operation = message.get("op")
        if operation == "run":
            number = message["cell"]
            self._run(number, message["spec"], lambda facts: self._send({**facts, "op": "facts", "cell": number}))
        elif operation == "cancel":
            cell = self._cells.get(message["cell"])
            if cell is not None:
                cell.cancelled = True
                zygote.kill(cell.zygote.control, cell.number)
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

    def _run(self, number: int, spec: Dict[str, Any], finish: Finish) -> None:
        limits = spec["limits"]
        group: Optional[cgroup.Group] = None
        passed: List[int] = []
        chosen = self._zygote(spec["profile"])  # before the sockets are made, or a new zygote would hold them too
        ours, theirs = socket.socketpair()
        try:
            if self._built.cgroups is not None:
                name = "cell%d" % number
                group = self._built.cgroups.create(
                    name, limits["memory_bytes"], limits["processes"] + PROCESS_HEADROOM
                )
                passed = [group.open_events(), *group.open_for_joining()]
            zygote.request(chosen.control, number, [theirs.fileno(), *passed])
        except OSError as error:
            ours.close()
            if group is not None and not group.remove():
                self._groups_left.append(group)
            finish({"sandbox_fault": {"reason": "CELL_NOT_BUILT", "message": str(error)}})
            return
        finally:
            theirs.close()
            for descriptor in passed:
                os.close(descriptor)
        descriptor = ours.detach()
        stream = protocol.Stream(descriptor, descriptor, protocol.MAXIMUM_UP_BYTES)
        cases = stdio.Cases(spec["tests"], limits) if spec["kind"] == "stdio" else None
        cell = _Cell(number, stream, chosen, group, cases, limits, finish)
        self._cells[number] = cell
        self._watch(descriptor, select.POLLIN, lambda events: self._on_cell(cell, events))
        inside = {name: value for name, value in spec.items() if name != "tests"}
        self._tell(cell, {**inside, "origin_us": time.monotonic_ns() // 1000, "folder": "cell%d" % number})
        if cases is None:
            self._tell(cell, spec["tests"])
        else:
            self._tell(cell, cases.next_case() or {"op": "end"})

    def _tell(self, cell: _Cell, message: Dict[str, Any]) -> None:
        cell.stream.send(message)
        if cell.stream.wants_to_write:
            self._poll.modify(cell.stream.read_fd, select.POLLIN | select.POLLOUT)

    def _on_cell(self, cell: _Cell, events: int) -> None:
        if events & select.POLLOUT:
            cell.stream.flush()
            if not cell.stream.wants_to_write:
                self._poll.modify(cell.stream.read_fd, select.POLLIN)
        if events & ~select.POLLOUT:
            self._hear(cell)

    def _hear(self, cell: _Cell) -> None:
        for message in cell.stream.receive():
            if "case" in message and cell.cases is not None:
                cell.cases.take(message["case"], message["seconds"])
                cell.rearm()
                self._tell(cell, cell.cases.next_case() or {"op": "end"})
            else:
                cell.facts = message
        if cell.stream.closed and cell.stream.read_fd in self._handlers:
            self._forget(cell.stream.read_fd)

    def _finish(self, cell: _Cell) -> None:
        """Sends the facts of a cell whose first process is gone, and with it everything in the cell."""
        cell.stream.drained = False
        while not (cell.stream.closed or cell.stream.drained):
            self._hear(cell)
        if cell.stream.read_fd in self._handlers:
            self._forget(cell.stream.read_fd)
        os.close(cell.stream.read_fd)
        del self._cells[cell.number]
        facts = cell.facts if cell.facts is not None else self._without_facts(cell)
        if cell.cases is not None:
            facts = cell.cases.facts(facts)
        if cell.group is not None:
            self._count(cell.group, facts)
            if not cell.group.remove():
                self._groups_left.append(cell.group)
        cell.finish(facts)

    def _without_facts(self, cell: _Cell) -> Dict[str, Any]:
        if cell.cancelled:
            return {"cancelled": True}
        message = "the cell ended without facts; the worker's log has its last words"
        return {"sandbox_fault": {"reason": "CELL_LOST", "message": message}}

    @staticmethod
    def _count(group: cgroup.Group, facts: Dict[str, Any]) -> None:
        """Adds what the kernel counted for the cell's whole tree."""
        if "usage" not in facts:
            return
        counted = group.usage()
        facts["usage"]["peak_memory_bytes"] = counted.peak_memory_bytes
        if counted.out_of_memory_kills:
            facts["limit"] = "memory"  # whatever came of it later
        if counted.refused_forks and "processes" not in facts["refused_resources"]:
            facts["refused_resources"].append("processes")

    # Zygotes

    def _zygote(self, profile: str) -> _Zygote:
        profile = profile if profile in self._profiles else _PROFILE_NONE
        if profile not in self._zygotes:
            keep = [self._stream.read_fd, self._stream.write_fd]
            keep += [one.control.fileno() for one in self._zygotes.values()]
            keep += [cell.stream.read_fd for cell in self._cells.values()]
            keep += list(self._built.cgroups.folders.values()) if self._built.cgroups else []
            pid, control = zygote.start(self._profiles[profile], self._built.blueprint, keep)
            made = _Zygote(profile, pid, control)
            self._zygotes[profile] = made
            self._watch(control.fileno(), select.POLLIN, lambda _: self._on_zygote(made))
        return self._zygotes[profile]

    def _on_zygote(self, one: _Zygote) -> None:
        data = one.control.recv(4096)
        if not data:
            self._lose(one)
            return
        message = json.loads(data)
        cell = self._cells.get(message.get("ended", 0))
        if cell is not None and cell.zygote is one:
            self._finish(cell)

    def _lose(self, one: _Zygote) -> None:
        """Gives up a zygote that died, with its cells, which died with it. The next sample starts another."""
        self._forget(one.control.fileno())
        one.control.close()
        del self._zygotes[one.profile]
        for cell in [cell for cell in self._cells.values() if cell.zygote is one]:
            self._finish(cell)
        self._send({"op": "anomaly", "message": "the zygote of profile %r died" % one.profile})

"""The conversation with one agent over a pair of byte streams.

Belongs here: which frame answers which cell, and what becomes of those who wait when the link breaks. How the
agent was started, and what replaces it, is its runtime's matter. A link that breaks once stays broken.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from sandbox_server.errors import WallMissingError, WorkerLostError, WorkerStartError
from sandbox_server.runtimes.facts import Ready, parse_facts, parse_parsed, parse_ready
from sandbox_server.runtimes.frames import FrameDecoder, FrameError, encode
from sandbox_server.runtimes.spec import spec_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sandbox_server.model import Facts, Limits, Sample, SyntaxFault
    from sandbox_server.runtimes.base import OnActivity

_Answer = TypeVar("_Answer")
_READ_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class Hello:
    """What an agent is asked to be."""

    profiles: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The modules that each preload profile imports."""
    cells: int = 1
    cgroup: str = "auto"
    allow_weak: bool = False
    visible: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()

    def frame(self) -> dict[str, Any]:
        """Returns the `hello` frame."""
        return {
            "op": "hello",
            "profiles": {name: list(modules) for name, modules in self.profiles.items()},
            "cells": self.cells,
            "cgroup": self.cgroup,
            "allow_weak": self.allow_weak,
            "visible": list(self.visible),
            "hidden": list(self.hidden),
        }


@dataclass(slots=True)
class _Running:
    limits: Limits
    sent_ns: int
    answer: asyncio.Future[Facts]
    on_activity: OnActivity | None
    asleep: bool = False


@dataclass(frozen=True, slots=True)
class _Parsing:
    answer: asyncio.Future[SyntaxFault | None]


_Kind = TypeVar("_Kind", _Running, _Parsing)


class AgentLink:
    """Talks to one agent.

    Args:
        reader: What the agent writes.
        writer: What the agent reads.
        on_anomaly: Called with the agent's words when it reports an anomaly.
        on_lost: Called once, with the reason, when the link breaks by itself. It must kill the agent: what
            broke the link may be an agent that no longer keeps to the protocol.
        cancel_patience_s: How long a cancelled cell may take to die before the agent counts as lost.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        on_anomaly: Callable[[str], None],
        on_lost: Callable[[str], None],
        cancel_patience_s: float = 10.0,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._on_anomaly = on_anomaly
        self._on_lost = on_lost
        self._cancel_patience_s = cancel_patience_s
        self._cells = itertools.count(1)
        self._pending: dict[int, _Running | _Parsing] = {}
        self._broken: str | None = None
        self._reading: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[Ready] | None = None

    @property
    def in_flight(self) -> int:
        """How many answers are still to come."""
        return len(self._pending)

    async def open(self, hello: Hello) -> Ready:
        """Says hello and waits until the agent is ready.

        Raises:
            WallMissingError: The agent says that a wall is missing.
            WorkerStartError: The agent says that it cannot start, or says nothing sensible.
        """
        self._ready = asyncio.get_running_loop().create_future()
        self._writer.write(encode(hello.frame()))
        self._reading = asyncio.create_task(self._read(), name="agent link")
        return await self._ready

    async def run(self, sample: Sample, profile: str, on_activity: OnActivity | None = None) -> Facts:
        """Runs a sample. When it is cancelled, the cell is dead before `CancelledError` comes out.

        Args:
            sample: What to run.
            profile: The preload profile of its zygote.
            on_activity: Called when the cell falls asleep or wakes up.

        Raises:
            WorkerLostError: The link broke before the facts came.
        """
        answer: asyncio.Future[Facts] = asyncio.get_running_loop().create_future()
        cell = next(self._cells)
        frame = encode({"op": "run", "cell": cell, "spec": spec_of(sample, profile)})
        running = _Running(sample.limits, time.time_ns(), answer, on_activity)
        self._send(cell, running, frame)
        try:
            await self._writer.drain()
            return await answer
        except asyncio.CancelledError:
            await self._kill(cell, running)
            raise
        except ConnectionError as error:
            self._break(f"the agent takes no more frames: {error}")
            return await answer

    async def parse(self, source: str) -> SyntaxFault | None:
        """Parses source with the agent's Python.

        Raises:
            WorkerLostError: The link broke before the answer came.
        """
        answer: asyncio.Future[SyntaxFault | None] = asyncio.get_running_loop().create_future()
        cell = next(self._cells)
        self._send(cell, _Parsing(answer), encode({"op": "parse", "cell": cell, "source": source}))
        return await answer

    async def close(self) -> None:
        """Asks the agent to stop and stops listening. Whoever still waits gets `WorkerLostError`."""
        if self._broken is None:
            self._broken = "the worker was stopped"
            self._writer.write(encode({"op": "stop"}))
        self._fail_all(self._broken)
        self._writer.close()
        if self._reading is not None and self._reading is not asyncio.current_task():
            self._reading.cancel()
            await asyncio.wait([self._reading])

    def _send(self, cell: int, pending: _Running | _Parsing, frame: bytes) -> None:
        if self._broken is not None:
            raise WorkerLostError(self._broken)
        self._pending[cell] = pending
        self._writer.write(frame)

    async def _kill(self, cell: int, running: _Running) -> None:
        if cell not in self._pending or self._broken is not None:
            return
        # Cancelling the waiter cancelled its future: the facts that still come need another.
        running.answer = asyncio.get_running_loop().create_future()
        running.answer.add_done_callback(_retrieve)
        self._writer.write(encode({"op": "cancel", "cell": cell}))
        await asyncio.wait([running.answer], timeout=self._cancel_patience_s)
        if not running.answer.done():
            self._break(f"a cancelled cell was not dead after {self._cancel_patience_s:g} s")

    async def _read(self) -> None:
        decoder = FrameDecoder()
        try:
            while data := await self._reader.read(_READ_BYTES):
                for message in decoder.feed(data):
                    self._take(message)
        except FrameError as error:
            self._break(f"the agent broke the protocol: {error}")
        except ConnectionError as error:
            self._break(f"the link to the agent broke: {error}")
        except Exception as error:
            # A fault of ours must not leave everybody waiting for answers that nobody reads any more.
            self._break(f"the link to the agent failed: {type(error).__name__}")
            raise
        else:
            self._break("the agent ended")

    def _take(self, message: dict[str, Any]) -> None:
        if self._broken is not None:
            return
        operation = message.get("op")
        if operation == "facts":
            running = self._pending_for(message, _Running)
            facts = parse_facts(message, running.limits, running.sent_ns)
            self._settle(message, running.answer, facts)
        elif operation == "parsed":
            parsing = self._pending_for(message, _Parsing)
            self._settle(message, parsing.answer, parse_parsed(message))
        elif operation == "activity":
            self._take_activity(message)
        elif operation == "anomaly":
            self._on_anomaly(_words(message, "message"))
        elif operation == "ready" and self._ready is not None and not self._ready.done():
            self._ready.set_result(parse_ready(message))
        elif operation == "failed" and self._ready is not None and not self._ready.done():
            self._ready.set_exception(_start_error(message))
        else:
            raise FrameError(f"an operation {str(operation)[:40]!r} where none of that name is expected")

    def _take_activity(self, message: dict[str, Any]) -> None:
        running = self._pending_for(message, _Running)
        asleep = message.get("asleep")
        # Only what changes is told, so that an agent has no reason to say much.
        if type(asleep) is not bool or asleep is running.asleep:
            raise FrameError(f"the activity of a cell that is no change of it: {str(asleep)[:40]!r}")
        running.asleep = asleep
        if running.on_activity is not None:
            running.on_activity(asleep)

    def _pending_for(self, message: dict[str, Any], kind: type[_Kind]) -> _Kind:
        cell = message.get("cell")
        pending = self._pending.get(cell) if type(cell) is int else None
        if not isinstance(pending, kind):
            raise FrameError(f"{message['op']} of a cell that does not wait for it: {str(cell)[:40]!r}")
        return pending

    def _settle(self, message: dict[str, Any], answer: asyncio.Future[_Answer], value: _Answer) -> None:
        del self._pending[message["cell"]]
        if not answer.done():
            answer.set_result(value)

    def _break(self, reason: str) -> None:
        if self._broken is not None:
            return
        self._broken = reason
        self._fail_all(reason)
        self._on_lost(reason)

    def _fail_all(self, reason: str) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(WorkerStartError(f"the worker did not come up: {reason}"))
        for pending in self._pending.values():
            if not pending.answer.done():
                pending.answer.set_exception(WorkerLostError(reason))
        self._pending.clear()


def _start_error(message: dict[str, Any]) -> WorkerStartError:
    reason, words = _words(message, "reason"), _words(message, "message")
    if reason == WallMissingError.reason:
        return WallMissingError(words)
    return WorkerStartError(f"{words} ({reason})")


def _words(message: dict[str, Any], key: str) -> str:
    return str(message.get(key))[:4000].encode("utf-8", "replace").decode("utf-8")


def _retrieve(answer: asyncio.Future[Facts]) -> None:
    # Nobody waits for the facts of a cancelled sample; without this, asyncio complains about a link lost
    # meanwhile.
    if not answer.cancelled():
        answer.exception()

"""One stream to one sandbox server: credit, answers, refusals, drain, loss.

A lane decides nothing about a run. It sends what the queue hands out, as far as the server's credit goes, and
tells its `Clerk` what came of it. When it ends, it has nothing in flight.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import grpc.aio

from orchestrator import wire

if TYPE_CHECKING:
    from orchestrator.dispatch.endpoints import Endpoint
    from orchestrator.dispatch.work import Work, WorkQueue

_TAKE_BACK = frozenset({"NO_CREDIT", "DRAINING"})
"""Refusals that are nobody's fault: the sample is sent again."""
_END_OF_STREAM = (grpc.aio.AioRpcError, asyncio.InvalidStateError)
"""What writing to a stream raises that has ended."""


class Clerk(Protocol):
    """Decides what becomes of work when a lane is through with it."""

    def answered(self, work: Work, outcome: dict[str, Any], address: str) -> None:
        """Takes an outcome."""

    def refused(self, work: Work, refusal: wire.Refusal, address: str) -> None:
        """Takes a refusal that the sample's request is at fault for."""

    def lost(self, work: Work, reason: str) -> None:
        """Takes work whose server was lost under it."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a lane ended."""

    reason: str
    """Why the server was lost; empty when nothing was left to do."""
    answers: int
    """How many samples the server answered on this lane."""
    is_final: bool = False
    """Whether another try would end the same way."""


class Lane:
    """One Execute stream."""

    def __init__(self, endpoint: Endpoint, queue: WorkQueue, clerk: Clerk) -> None:
        self._endpoint = endpoint
        self._queue = queue
        self._clerk = clerk
        self._credit = 0
        self._draining = False
        self._in_flight: dict[str, Work] = {}
        self._alone: str | None = None
        self._answers = 0
        self._wake = asyncio.Event()

    async def run(self) -> Ended:
        """Sends and receives until nothing is left to do or the server is lost."""
        address = self._endpoint.address
        channel = self._endpoint.channel()
        call = wire.execute(channel)()
        sender = asyncio.create_task(self._send(call))
        sender.add_done_callback(lambda task: _stop_reading(task, call))
        self._queue.join(address, self._wake)
        reason, is_final = "the server ended the stream", False
        try:
            while (event := await call.read()) is not grpc.aio.EOF:
                self._receive(cast("wire.Event", event))
            code = await call.code()
            if code is not grpc.StatusCode.OK:
                reason = f"{code.name}: {await call.details() or 'no details'}"
                is_final = code in {
                    grpc.StatusCode.UNAUTHENTICATED,
                    grpc.StatusCode.PERMISSION_DENIED,
                    grpc.StatusCode.UNIMPLEMENTED,
                    grpc.StatusCode.INVALID_ARGUMENT,
                }
        except grpc.aio.AioRpcError as error:
            reason = f"{error.code().name}: {error.details() or 'no details'}"
        finally:
            sender.cancel()
            # What the sender met on a dead stream is the stream's end, which is known by now.
            with contextlib.suppress(asyncio.CancelledError, *_END_OF_STREAM):
                await sender
            call.cancel()
            self._queue.leave(address)
            await channel.close()
        for work in self._in_flight.values():
            self._clerk.lost(work, reason)
        self._in_flight.clear()
        return Ended("" if self._queue.is_finished() else reason, self._answers, is_final)

    async def _send(self, call: grpc.aio.StreamStreamCall[bytes, wire.Event]) -> None:
        """Sends work as credit allows; closes the sending side when there will be no more."""
        while True:
            self._wake.clear()
            work = self._next()
            if work is not None:
                await self._send_one(call, work)
            elif self._queue.is_finished() or (self._draining and not self._in_flight):
                break
            else:
                await self._wake.wait()
        await call.done_writing()

    def _next(self) -> Work | None:
        """Returns work to send now."""
        if self._credit <= 0 or self._draining:
            return None
        if self._alone in self._in_flight or (self._in_flight and self._queue.next_is_suspect):
            return None
        return self._queue.take(self._endpoint.address)

    async def _send_one(self, call: grpc.aio.StreamStreamCall[bytes, wire.Event], work: Work) -> None:
        """Sends one sample; what cannot be sent is refused here: a server could only end the stream."""
        sample_id = work.sample.sample_id
        try:
            request = wire.encode(work.sample, work.attempt)
        except wire.UnsendableError as error:
            work.shunned.add(self._endpoint.address)
            self._clerk.refused(work, wire.Refusal(sample_id, error.reason, str(error), error.field), "")
            return
        self._credit -= 1
        self._in_flight[sample_id] = work
        if work.is_suspect:
            self._alone = sample_id
        await call.write(request)

    def _receive(self, event: wire.Event) -> None:
        """Acts on what the server said. Answers to what is not in flight were answered before: ignored."""
        if isinstance(event, wire.Answer):
            work = self._in_flight.pop(event.sample_id, None)
            if work is None:
                return
            self._credit += 1
            self._answers += 1
            self._clerk.answered(work, event.outcome, self._endpoint.address)
        elif isinstance(event, wire.Credit):
            self._credit += max(event.samples, 0)
        elif isinstance(event, wire.Drain):
            self._draining = True
        elif isinstance(event, wire.Refusal):
            self._refused(event)
        self._wake.set()

    def _refused(self, refusal: wire.Refusal) -> None:
        """Gives a refused sample back to the queue, or reports it."""
        work = self._in_flight.pop(refusal.sample_id, None)
        if work is None:
            return
        if refusal.reason != "NO_CREDIT":
            self._credit += 1
        if refusal.reason == "DRAINING":
            self._draining = True
        if refusal.reason in _TAKE_BACK:
            self._queue.give_back(work)
        else:
            self._clerk.refused(work, refusal, self._endpoint.address)


def _stop_reading(sender: asyncio.Task[None], call: grpc.aio.StreamStreamCall[bytes, wire.Event]) -> None:
    """Wakes the reader when the sender met an error of our own, a sample that cannot be assembled, say."""
    if not sender.cancelled() and not isinstance(sender.exception(), (type(None), *_END_OF_STREAM)):
        call.cancel()

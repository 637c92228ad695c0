"""One Execute stream: credit, answers as they finish, cancellation, drain.

Belongs here: what the contract says of a stream. Everything of a stream is awaited inside `serve`, so that
nothing of it is left when its call ends, however it ends: on a client's cancellation the requests may just
end, as if the client had closed its side.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from cupel_client.gen import sandbox_service_pb2 as pb

from sandbox_server.errors import (
    AlreadyInFlightError,
    DrainingError,
    EmptyRequestError,
    NoCreditError,
    RequestError,
    WorkersLostError,
)
from sandbox_server.wire import read_sample, write_drain, write_failure, write_outcome, write_refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable
    from datetime import timedelta

    from sandbox_server.credit import Credit
    from sandbox_server.judging import Judging
    from sandbox_server.model import Outcome, Sample
    from sandbox_server.wire import Rules

_log = structlog.get_logger(__name__)

# Answers to samples that were sent without credit are owed too, but not without bound.
_UNCREDITED_ANSWERS = 256
# How long a drained stream waits for its client to close, before the server does.
_CLOSING_S = 1.0


class ExecuteStream:
    """Serves one client.

    Args:
        judging: What judges its samples.
        rules: What samples must keep to.
        credit: The client's books: how many samples it may have with the server at once.
        write: Sends a response to the client.
        serving: Whether workers live, or come back.
    """

    def __init__(
        self,
        judging: Judging,
        rules: Rules,
        *,
        credit: Credit,
        write: Callable[[pb.ExecuteResponse], Awaitable[None]],
        serving: Callable[[], bool],
    ) -> None:
        self._judging = judging
        self._rules = rules
        self._credit = credit
        self._send = write
        self._serving = serving
        self._in_flight: dict[str, asyncio.Task[Outcome]] = {}
        self._wishes: set[str] = set()
        self._outbox: asyncio.Queue[pb.ExecuteResponse | None] = asyncio.Queue()
        self._sent = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = asyncio.Event()
        self._over = False

    @property
    def in_flight(self) -> int:
        """How many samples are not answered yet, those in the outbox included."""
        return len(self._in_flight) + self._outbox.qsize()

    async def serve(self, requests: AsyncIterable[pb.ExecuteRequest]) -> None:
        """Serves the stream to its end.

        Raises:
            RequestError: The stream as a whole cannot go on; everything it took has been answered before,
                unless the client broke the contract.
        """
        self._outbox.put_nowait(pb.ExecuteResponse(credit=pb.Credit(samples=self._credit.granted)))
        reading = asyncio.create_task(self._read(requests), name="execute read")
        writing = asyncio.create_task(self._write(), name="execute write")
        drained = asyncio.create_task(self._drained(), name="execute drain")
        idle: asyncio.Task[bool] | None = None
        try:
            await asyncio.wait([reading, writing, drained], return_when=asyncio.FIRST_COMPLETED)
            error: RequestError | None = None
            if reading.done():
                error = reading.result()
                idle = asyncio.create_task(self._idle.wait(), name="execute idle")
                await asyncio.wait([idle, writing], return_when=asyncio.FIRST_COMPLETED)
            elif drained.done():
                error = DrainingError("the server is stopping; send what is not answered elsewhere")
            self._outbox.put_nowait(None)
            await writing
            if error is not None:
                raise error
        finally:
            self._over = True
            tasks: list[asyncio.Task[Any]] = [reading, writing, drained, *self._in_flight.values()]
            if idle is not None:
                tasks.append(idle)
            await _end(tasks)

    def drain(self, grace: timedelta) -> None:
        """Tells the client that the server is about to stop, and takes no more samples."""
        if not self._draining.is_set():
            self._outbox.put_nowait(pb.ExecuteResponse(drain=write_drain(grace)))
            self._draining.set()

    async def _read(self, requests: AsyncIterable[pb.ExecuteRequest]) -> RequestError | None:
        async for request in requests:
            received_ns = time.time_ns()
            kind = request.WhichOneof("message")
            if kind == "sample":
                if not self._serving():
                    return WorkersLostError("this server has lost its workers; send unanswered samples elsewhere")
                self._take(request.sample, received_ns)
            elif kind == "cancellation":
                self._cancel(request.cancellation.sample_id)
            else:
                raise EmptyRequestError("a request holds neither a sample nor a cancellation; set one of them")
            while self._outbox.qsize() > self._credit.granted + _UNCREDITED_ANSWERS:
                self._sent.clear()
                await self._sent.wait()
        return None

    def _take(self, message: pb.Sample, received_ns: int) -> None:
        charged = self._credit.use()
        try:
            if not charged:
                granted = self._credit.granted
                raise NoCreditError(
                    f"all {granted} samples of this stream's credit are used; wait for an answer", credit=str(granted)
                )
            if self._draining.is_set():
                raise DrainingError("the server is stopping; send the sample elsewhere")
            if message.sample_id in self._in_flight:
                raise AlreadyInFlightError(
                    "a sample of this sample_id is in flight on this stream; wait for its answer",
                    field="sample_id",
                    value=message.sample_id[:100],
                )
            sample = read_sample(message, self._rules)
        except RequestError as error:
            code = getattr(grpc.StatusCode, error.code).value[0]
            refusal = write_refusal(message.sample_id, message.attempt, error, code)
            self._outbox.put_nowait(pb.ExecuteResponse(refusal=refusal))
            return
        task = asyncio.create_task(self._judging.outcome(sample, received_ns, self, self._note_activity))
        self._in_flight[sample.sample_id] = task
        self._idle.clear()
        # A callback and not a second coroutine: a task that is cancelled before its first step runs none of
        # its code.
        task.add_done_callback(lambda done: self._answer(sample, received_ns, done))

    def _note_activity(self, asleep: bool) -> None:  # noqa: FBT001 -- the form of OnActivity
        """Grants credit for a sample that sleeps: its slot is free for another one, which has to be here."""
        if not asleep:
            self._credit.unpark()
            return
        more = self._credit.park()
        if more and not self._over and not self._draining.is_set():
            self._outbox.put_nowait(pb.ExecuteResponse(credit=pb.Credit(samples=more)))

    def _cancel(self, sample_id: str) -> None:
        task = self._in_flight.get(sample_id)
        if task is not None and sample_id not in self._wishes:
            self._wishes.add(sample_id)
            task.cancel()

    def _answer(self, sample: Sample, received_ns: int, done: asyncio.Task[Outcome]) -> None:
        del self._in_flight[sample.sample_id]
        self._wishes.discard(sample.sample_id)
        if not self._over:
            self._outbox.put_nowait(pb.ExecuteResponse(outcome=self._written(sample, received_ns, done)))
        if not self._in_flight:
            self._idle.set()

    def _written(self, sample: Sample, received_ns: int, done: asyncio.Task[Outcome]) -> pb.Outcome:
        try:
            outcome = self._judging.cancelled(sample, received_ns) if done.cancelled() else done.result()
            return write_outcome(outcome)
        except Exception as error:  # noqa: BLE001 -- logged with its trace, and answered as SANDBOX_ERROR
            # The last line: whatever fails between facts and message costs this sample only.
            _log.exception("answer_failed", sample_id=sample.sample_id, attempt=sample.attempt)
            return write_failure(sample, f"{type(error).__name__} in the server; its log tells more")

    async def _write(self) -> None:
        while (response := await self._outbox.get()) is not None:
            if response.HasField("outcome") or (
                response.HasField("refusal") and response.refusal.reason != NoCreditError.reason
            ):
                # Before the client can know of it, so that its next sample finds the credit.
                self._credit.give_back()
            self._sent.set()
            await self._send(response)

    async def _drained(self) -> None:
        await self._draining.wait()
        await self._idle.wait()
        await asyncio.sleep(_CLOSING_S)


async def _end(tasks: list[asyncio.Task[Any]]) -> None:
    """Cancels tasks and waits until they are over, even when the waiting itself is cancelled."""
    for task in tasks:
        task.cancel()
    cancelled: asyncio.CancelledError | None = None
    while pending := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(pending)
        except asyncio.CancelledError as error:
            cancelled = error
    for task in tasks:
        failure = None if task.cancelled() else task.exception()
        if failure is not None:
            _log.debug("stream_task_ended", task=task.get_name(), error=repr(failure))
    if cancelled is not None:
        raise cancelled

"""Gets every sample of a run answered exactly once, by whichever servers there are.

What is tried again, and how often:

| what happened | then |
| --- | --- |
| the server was lost under it | sent again, alone after the second loss; after the third SANDBOX_ERROR |
| the server answered SANDBOX_ERROR | up to two more attempts, elsewhere if there is an elsewhere |
| the server drains | what it did not answer goes elsewhere, or back to it when it has returned |
| the sample's request was refused | once per server; then it is reported, and everything else goes on |
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator import wire
from orchestrator.dispatch.lane import Lane
from orchestrator.dispatch.work import ATTEMPTS_AFTER_FAULT, LOSSES, WorkQueue
from orchestrator.errors import NoSandboxError
from orchestrator.outcome import result_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from orchestrator.dispatch.endpoints import Endpoint, EndpointSource
    from orchestrator.dispatch.work import Work
    from orchestrator.model import Result, Sample

_MAY_BE_TAKEN_ELSEWHERE = frozenset(
    {"UNKNOWN_ENVIRONMENT", "MISSING_PACKAGES", "ISOLATION_UNAVAILABLE", "LIMIT_ABOVE_MAXIMUM"}
)


@dataclass(frozen=True, slots=True)
class Refused:
    """A sample that no server took, because of its request."""

    sample: Sample
    reason: str
    message: str
    field: str | None


class Dispatcher:
    """Sends samples to servers and delivers one result for each.

    Args:
        source: Knows the servers; opened and closed by the caller.
        samples: Drawn as servers take them. Sample ids are unique.
        deliver: Called once for each sample that was answered, as answers arrive.
        parallel: How many samples may be in flight at once; None leaves that to the servers' credit.
    """

    def __init__(
        self,
        source: EndpointSource,
        samples: Iterator[Sample],
        deliver: Callable[[Result], None],
        parallel: int | None = None,
    ) -> None:
        self._source = source
        self._queue = WorkQueue(samples, parallel)
        self._deliver = deliver
        self._refused: list[Refused] = []

    async def run(self, endpoints: Sequence[Endpoint]) -> list[Refused]:
        """Returns when every sample was answered or refused; what was refused is returned.

        Raises:
            errors.NoSandboxError: All servers are gone for good. What was delivered stays delivered.
        """
        lanes = [asyncio.create_task(self._serve(endpoint)) for endpoint in endpoints]
        pending = set(lanes)
        ends: list[str] = []
        try:
            # Once all is answered, nobody waits for a server that is being revived.
            while pending and not self._queue.is_finished():
                ended, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                ends.extend(lane.result() for lane in ended)
        finally:
            for lane in lanes:
                lane.cancel()
            await asyncio.gather(*lanes, return_exceptions=True)
        if not self._queue.is_finished():
            raise NoSandboxError("; ".join(end for end in ends if end))
        return self._refused

    async def _serve(self, endpoint: Endpoint) -> str:
        """Keeps a lane to one server until nothing is left to do; returns why it was given up, if it was."""
        failures = 0
        while not self._queue.is_finished():
            ended = await Lane(endpoint, self._queue, self).run()
            if self._queue.is_finished():
                break
            if ended.is_final:
                return f"sandbox server {endpoint.address}: {ended.reason}"
            failures = 1 if ended.answers else failures + 1
            try:
                await self._source.revive(endpoint, failures, ended.reason)
            except NoSandboxError as error:
                return str(error)
        return ""

    def answered(self, work: Work, outcome: dict[str, Any], address: str) -> None:
        """Delivers an outcome, or tries again what a server failed at."""
        result = result_of(work.sample.sample_id, work.sample.task_id, work.sample.index, outcome)
        if result.is_sandbox_error and work.faults < ATTEMPTS_AFTER_FAULT:
            work.faults += 1
            work.shunned.add(address)
            self._queue.retry(work)
            return
        self._deliver(result)
        self._queue.done()

    def refused(self, work: Work, refusal: wire.Refusal, address: str) -> None:
        """Reports a refused sample, once no other server is left to ask."""
        work.shunned.add(address)
        if refusal.reason in _MAY_BE_TAKEN_ELSEWHERE and not self._queue.tried_everywhere(work):
            self._queue.retry(work)
            return
        self._refused.append(Refused(work.sample, refusal.reason, refusal.message, refusal.field))
        self._queue.done()

    def lost(self, work: Work, reason: str) -> None:
        """Sends a sample again whose server was lost, or gives it up."""
        work.losses += 1
        if work.losses < LOSSES:
            self._queue.give_back(work)
            return
        sample = work.sample
        outcome = wire.sandbox_error(
            sample.sample_id,
            work.attempt,
            "SERVER_LOST",
            f"the sandbox server was lost {work.losses} times with this sample in flight, at last: {reason}",
        )
        self._deliver(result_of(sample.sample_id, sample.task_id, sample.index, outcome))
        self._queue.done()

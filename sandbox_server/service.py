"""The gRPC service: what the contract's four methods do. What they need is made elsewhere and handed in."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from importlib import metadata
from typing import TYPE_CHECKING

from cupel_client.gen import sandbox_service_pb2 as pb
from cupel_client.gen import sandbox_service_pb2_grpc as pb_grpc

from sandbox_server.credit import Credit
from sandbox_server.errors import DrainingError, FieldMissingError, NoCreditError, WorkersLostError
from sandbox_server.streams import ExecuteStream
from sandbox_server.wire import read_sample, write_capabilities, write_outcome, write_screening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import timedelta

    import grpc.aio

    from sandbox_server.judging import Judging
    from sandbox_server.runtimes.base import Runtime
    from sandbox_server.screener import Screener
    from sandbox_server.slots import Slots
    from sandbox_server.wire import Rules

_CREDIT_PER_SLOT = 2
"""A client has twice as many samples here as there are slots, so that a slot never waits for the network."""


class SandboxService(pb_grpc.SandboxServiceServicer):
    """Serves the contract.

    Args:
        runtime: What runs samples.
        screener: What screens them.
        judging: What takes a sample the whole way.
        rules: What samples must keep to.
        slots: What bounds how many run at once.
    """

    def __init__(self, runtime: Runtime, screener: Screener, judging: Judging, rules: Rules, slots: Slots) -> None:
        self._runtime = runtime
        self._screener = screener
        self._judging = judging
        self._rules = rules
        self._slots = slots
        spare = (_CREDIT_PER_SLOT - 1) * slots.count
        self._credit = (slots.count + spare, slots.cells + spare)
        self._streams: set[ExecuteStream] = set()
        self._calls = Credit(*self._credit)
        self._draining = False
        self._quiet = asyncio.Event()
        self._quiet.set()

    @property
    def in_flight(self) -> int:
        """How many samples are not answered yet."""
        return self._calls.used + sum(stream.in_flight for stream in self._streams)

    @property
    def streams(self) -> int:
        """How many Execute streams are open."""
        return len(self._streams)

    async def Execute(  # type: ignore[override]  # noqa: N802 -- the stubs know generators only; the contract's name
        self,
        request_iterator: AsyncIterator[pb.ExecuteRequest],
        context: grpc.aio.ServicerContext[pb.ExecuteRequest, pb.ExecuteResponse],
    ) -> None:
        """Judges a stream of samples."""
        self._check_open()
        stream = ExecuteStream(
            self._judging,
            self._rules,
            credit=Credit(*self._credit),
            write=context.write,
            serving=lambda: self._runtime.serving,
        )
        self._streams.add(stream)
        self._quiet.clear()
        try:
            await stream.serve(request_iterator)
        finally:
            self._streams.discard(stream)
            self._hush()

    async def ExecuteOne(  # noqa: N802 -- the contract's name
        self,
        request: pb.ExecuteOneRequest,
        context: grpc.aio.ServicerContext[pb.ExecuteOneRequest, pb.ExecuteOneResponse],
    ) -> pb.ExecuteOneResponse:
        """Judges one sample."""
        del context
        received_ns = time.time_ns()
        self._check_open()
        sample = read_sample(_present(request), self._rules)
        if not self._calls.use():
            raise NoCreditError(
                f"{self._calls.used} samples are already here, one by one; try again later or elsewhere",
                credit=str(self._calls.granted),
            )
        self._quiet.clear()
        try:
            # All single calls are one stream to the queue, or many of them would crowd out the streams.
            outcome = await self._judging.outcome(sample, received_ns, "ExecuteOne", self._note_activity)
        finally:
            self._calls.give_back()
            self._hush()
        return pb.ExecuteOneResponse(outcome=write_outcome(outcome))

    async def Screen(  # noqa: N802 -- the contract's name
        self,
        request: pb.ScreenRequest,
        context: grpc.aio.ServicerContext[pb.ScreenRequest, pb.ScreenResponse],
    ) -> pb.ScreenResponse:
        """Looks at a sample without running it."""
        del context
        self._check_open()
        sample = read_sample(_present(request), self._rules)
        sample, screening = await self._screener.screen(sample)
        environments, _ = self._runtime.describe()
        versions = [known.python_version for known in environments if known.name == sample.environment]
        return write_screening(screening, versions[0] if versions else "")

    async def GetCapabilities(  # noqa: N802 -- the contract's name
        self,
        request: pb.GetCapabilitiesRequest,
        context: grpc.aio.ServicerContext[pb.GetCapabilitiesRequest, pb.GetCapabilitiesResponse],
    ) -> pb.GetCapabilitiesResponse:
        """Tells what this server has and can do."""
        del request, context
        environments, walls = self._runtime.describe()
        return write_capabilities(
            server_version=metadata.version("cupel"),
            runtime=self._runtime.name,
            environments=environments,
            walls=walls,
            default_limits=self._rules.default_limits,
            maximum_limits=self._rules.maximum_limits,
            maximum_source_bytes=self._rules.maximum_source_bytes,
            slots=self._slots.count,
            isolations=self._rules.isolations,
            draining=self._draining,
        )

    async def drain(self, grace: timedelta) -> int:
        """Tells every client that the server is about to stop, and waits for what it has taken.

        Args:
            grace: How long to wait.

        Returns:
            How many samples are not answered after that.
        """
        self._draining = True
        for stream in self._streams:
            stream.drain(grace)
        # Streams end by themselves when their last answer is out.
        with suppress(TimeoutError):
            async with asyncio.timeout(grace.total_seconds()):
                await self._quiet.wait()
        return self.in_flight

    async def ended(self) -> None:
        """Waits until no call is left: a call that was ended from outside still has cells to kill."""
        await self._quiet.wait()

    def _note_activity(self, asleep: bool) -> None:  # noqa: FBT001 -- the form of OnActivity
        if asleep:
            self._calls.park()
        else:
            self._calls.unpark()

    def _hush(self) -> None:
        if not self._streams and not self._calls.used:
            self._quiet.set()

    def _check_open(self) -> None:
        if self._draining:
            raise DrainingError("the server is stopping; go elsewhere")
        if not self._runtime.serving:
            raise WorkersLostError("this server has lost its workers; go elsewhere")


def _present(request: pb.ExecuteOneRequest | pb.ScreenRequest) -> pb.Sample:
    if not request.HasField("sample"):
        raise FieldMissingError("the request has no sample", field="sample")
    return request.sample

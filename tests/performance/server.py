"""A sandbox server to measure, and a client that keeps so many samples with it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import grpc.aio
from cupel_client.gen import sandbox_service_pb2 as pb
from cupel_client.gen import sandbox_service_pb2_grpc as pb_grpc

from tests.performance.original import MeasurementError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable


class Site(NamedTuple):
    """A server and the way to it."""

    process_id: int
    stub: pb_grpc.SandboxServiceAsyncStub
    capabilities: pb.GetCapabilitiesResponse


class Answer(NamedTuple):
    """A sample's outcome, and what the client saw of its time."""

    outcome: pb.Outcome
    sent_ns: int
    answered_ns: int

    @property
    def wall_ms(self) -> float:
        """Time from sending the sample to having its answer."""
        return (self.answered_ns - self.sent_ns) / 1e6


@asynccontextmanager
async def serving(*words: str, **variables: str) -> AsyncIterator[Site]:
    """Starts a server of its own, with options and variables, for the length of a block.

    Raises:
        MeasurementError: It does not start.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CUPEL_")}
    with tempfile.TemporaryDirectory(prefix="cupel-bench-") as folder:
        address = f"unix:{folder}/sock"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sandbox_server", "serve", "--listen", address, "--log-level", "warning"),
            *("--die-with-parent", *words),
            env={**kept, **variables},
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
        )
        try:
            assert process.stdout is not None
            if not (await process.stdout.readline()).startswith(b"listening on "):
                raise MeasurementError("the sandbox server does not start; it says why above")
            async with grpc.aio.insecure_channel(address) as channel:
                stub = pb_grpc.SandboxServiceStub(channel)
                yield Site(process.pid, stub, await stub.GetCapabilities(pb.GetCapabilitiesRequest()))
        finally:
            process.terminate()
            await process.wait()


async def judge(site: Site, samples: Iterable[pb.Sample], at_once: int, take: Callable[[Answer], None]) -> None:
    """Has samples judged, always so many of them at once, all of which must pass.

    Raises:
        MeasurementError: One did not pass.
    """
    call = site.stub.Execute()
    ready = await call.read()
    assert isinstance(ready, pb.ExecuteResponse)
    if ready.credit.samples < at_once:
        raise MeasurementError(f"the server takes {ready.credit.samples} samples at once, not {at_once}")
    sent: dict[str, int] = {}
    source = iter(samples)

    async def send() -> None:
        sample = next(source, None)
        if sample is not None:
            sent[sample.sample_id] = time.time_ns()
            await call.write(pb.ExecuteRequest(sample=sample))

    for _ in range(at_once):
        await send()
    while sent:
        response = await call.read()
        assert isinstance(response, pb.ExecuteResponse)
        answered_ns, outcome = time.time_ns(), response.outcome
        if outcome.verdict != pb.VERDICT_PASSED:
            raise MeasurementError(f"a sample did not pass: {response}")
        take(Answer(outcome, sent.pop(outcome.sample_id), answered_ns))
        await send()
    await call.done_writing()

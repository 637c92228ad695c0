from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from cupel_client.gen import sandbox_service_pb2 as pb
from cupel_client.gen import sandbox_service_pb2_grpc as pb_grpc

from sandbox_server.config import Settings
from sandbox_server.life import running
from sandbox_server.runtimes.simulated import Fate, SimulatedRuntime
from sandbox_server.server import Server


@dataclass
class Site:
    """A server on a Unix socket, and a client's stub for it."""

    server: Server
    address: str
    runtime: SimulatedRuntime
    channel: grpc.aio.Channel
    stub: Any


class Stream:
    """A client's end of an Execute stream, which reads one response at a time."""

    def __init__(self, stub: Any) -> None:
        self.call = stub.Execute()

    async def send(self, sample: pb.Sample) -> None:
        await self.call.write(pb.ExecuteRequest(sample=sample))

    async def cancel_sample(self, sample_id: str) -> None:
        await self.call.write(pb.ExecuteRequest(cancellation=pb.Cancellation(sample_id=sample_id)))

    async def next(self) -> Any:
        """The next response's content; None at the end."""
        response = await self.call.read()
        if response is grpc.aio.EOF:
            return None
        return getattr(response, response.WhichOneof("message"))


Serve = Callable[..., AbstractAsyncContextManager[Site]]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    @asynccontextmanager
    async def start(runtime: SimulatedRuntime | None = None, **settings: Any) -> AsyncIterator[Site]:
        runtime = runtime or SimulatedRuntime([Fate.PASS])
        given = {"runtime": "simulated", "slots": 2, "listen": (f"unix:{tmp_path}/s.sock",), **settings}
        async with (
            running(Settings(**given), runtime) as (server, addresses),
            grpc.aio.insecure_channel(addresses[0]) as channel,
        ):
            yield Site(server, addresses[0], runtime, channel, pb_grpc.SandboxServiceStub(channel))

    return start


@pytest.fixture
def sample() -> Callable[..., pb.Sample]:
    def make(sample_id: str = "s", **fields: Any) -> pb.Sample:
        if not {"script", "unittest", "function_check", "stdio"} & set(fields):
            fields["function_check"] = pb.FunctionCheckTask(
                solution="def f(): return 1", entry_point="f", check="def check(f):\n    assert f() == 1"
            )
        return pb.Sample(sample_id=sample_id, **fields)

    return make


@pytest.fixture
def stream() -> Callable[[Site], Stream]:
    return lambda site: Stream(site.stub)

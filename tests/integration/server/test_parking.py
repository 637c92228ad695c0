"""Samples that sleep leave their slots to others: credit over the wire, and cells for real."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from cupel_client.gen import sandbox_service_pb2 as pb
from cupel_client.gen import sandbox_service_pb2_grpc as pb_grpc
from google.protobuf.duration_pb2 import Duration

from sandbox_server.config import Settings
from sandbox_server.errors import WorkerLostError
from sandbox_server.life import running
from sandbox_server.model import Facts, Sample
from sandbox_server.runtimes.base import OnActivity
from sandbox_server.runtimes.choice import local_options
from sandbox_server.runtimes.local import LocalRuntime
from sandbox_server.runtimes.simulated import Fate, SimulatedRuntime


class Drowsy(SimulatedRuntime):
    """Runs samples until a test ends them; they sleep when it says so."""

    def __init__(self) -> None:
        super().__init__([Fate.PASS])
        self.activity: dict[str, Callable[[bool], None]] = {}
        self.runs_begun = 0
        self._ends: dict[str, asyncio.Future[None]] = {}

    async def run(self, sample: Sample, on_activity: OnActivity | None = None) -> Facts:
        assert on_activity is not None
        self.runs_begun += 1
        self.activity[sample.sample_id] = on_activity
        end = self._ends[sample.sample_id] = asyncio.get_running_loop().create_future()
        try:
            await end
        finally:
            del self.activity[sample.sample_id]
        return await super().run(sample)

    def end(self, sample_id: str) -> None:
        self._ends[sample_id].set_result(None)

    def lose(self, sample_id: str) -> None:
        self._ends[sample_id].set_exception(WorkerLostError("as asked"))

    async def runs(self, *sample_ids: str) -> None:
        """Waits until these run, and asserts that no others do."""
        while not self.activity.keys() >= set(sample_ids):  # noqa: ASYNC110 -- it can only be looked at
            await asyncio.sleep(0.005)
        assert self.activity.keys() == set(sample_ids)


async def test_a_sleeping_sample_grants_one_credit_and_its_slot(serve: Any, sample: Any, stream: Any) -> None:
    runtime = Drowsy()
    async with serve(runtime, slots=1, cells=3) as site:
        client = stream(site)
        assert (await client.next()).samples == 2
        for name in ("a", "b"):
            await client.send(sample(name))
        await runtime.runs("a")
        runtime.activity["a"](True)
        assert (await client.next()).samples == 1
        await client.send(sample("c"))
        await runtime.runs("a", "b")
        runtime.activity["b"](True)
        assert (await client.next()).samples == 1
        await runtime.runs("a", "b", "c")
        # Three cells is all there may be, so the third sleeper is granted for nothing: there is no room.
        runtime.activity["c"](True)
        await client.send(sample("d"))
        await client.send(sample("e"))
        assert ((await client.next()).sample_id, site.server.service.in_flight) == ("e", 4)
        await runtime.runs("a", "b", "c")
        # What wakes up goes on, and keeps others out until it ends.
        runtime.activity["b"](False)
        runtime.end("a")
        assert (await client.next()).sample_id == "a"
        await client.send(sample("f"))
        await runtime.runs("b", "c")
        runtime.end("b")
        assert (await client.next()).sample_id == "b"
        await runtime.runs("c", "d")
        # A second nap is paid for by the credit of the first.
        runtime.activity["d"](True)
        await runtime.runs("c", "d", "f")
        for name in ("c", "d", "f"):
            runtime.end(name)
        assert {(await client.next()).sample_id for _ in range(3)} == {"c", "d", "f"}
        await client.call.done_writing()
        assert await client.next() is None
        assert site.server.service.in_flight == 0


async def test_a_cancelled_sleeper_leaves_its_place(serve: Any, sample: Any, stream: Any) -> None:
    runtime = Drowsy()
    async with serve(runtime, slots=1, cells=2) as site:
        client = stream(site)
        await client.next()
        for name in ("a", "b"):
            await client.send(sample(name))
        await runtime.runs("a")
        runtime.activity["a"](True)
        assert (await client.next()).samples == 1
        await runtime.runs("a", "b")
        runtime.activity["b"](True)
        await client.send(sample("c"))
        await client.cancel_sample("a")
        assert (await client.next()).verdict == pb.VERDICT_CANCELLED
        await runtime.runs("b", "c")
        client.call.cancel()
        while runtime.activity:  # noqa: ASYNC110 -- it can only be looked at
            await asyncio.sleep(0.005)


async def test_a_sleeper_whose_worker_is_lost_runs_again_awake(serve: Any, sample: Any, stream: Any) -> None:
    runtime = Drowsy()
    async with serve(runtime, slots=1, cells=2) as site:
        client = stream(site)
        await client.next()
        for name in ("a", "b"):
            await client.send(sample(name))
        await runtime.runs("a")
        runtime.activity["a"](True)
        assert (await client.next()).samples == 1
        await runtime.runs("a", "b")
        runtime.lose("a")
        while runtime.runs_begun < 3:  # noqa: ASYNC110 -- it can only be looked at
            await asyncio.sleep(0.005)
        # Both are awake on one slot; the first to end is followed by nobody.
        await client.send(sample("c"))
        runtime.end("b")
        assert (await client.next()).sample_id == "b"
        await runtime.runs("a")
        runtime.end("a")
        assert (await client.next()).sample_id == "a"
        await runtime.runs("c")
        client.call.cancel()


async def test_single_calls_that_sleep_make_room_for_others(serve: Any, sample: Any) -> None:
    runtime = Drowsy()
    async with serve(runtime, slots=1, cells=2) as site:

        def call(name: str) -> Any:
            return site.stub.ExecuteOne(pb.ExecuteOneRequest(sample=sample(name)))

        calls = [call("a")]
        await runtime.runs("a")
        calls.append(call("b"))
        while site.server.service.in_flight < 2:  # noqa: ASYNC110 -- it can only be looked at
            await asyncio.sleep(0.005)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call("c")
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        runtime.activity["a"](True)
        await runtime.runs("a", "b")
        calls.append(call("c"))
        runtime.end("b")
        await calls[1]
        await runtime.runs("a", "c")
        for name in ("a", "c"):
            runtime.end(name)
        await asyncio.gather(calls[0], calls[2])


@pytest.fixture
async def stub(tmp_path: Path) -> AsyncIterator[Any]:
    """One slot, three cells, and a real agent."""
    settings = Settings(slots=1, cells=3, allow_weak_isolation=True, profiles={}, listen=(f"unix:{tmp_path}/s.sock",))
    async with (
        running(settings, LocalRuntime(local_options(settings))) as (_, addresses),
        grpc.aio.insecure_channel(addresses[0]) as channel,
    ):
        yield pb_grpc.SandboxServiceStub(channel)


async def test_real_sleepers_do_not_keep_busy_samples_waiting(stub: Any) -> None:
    call = stub.Execute()
    left, unanswered, answered = (await call.read()).credit.samples, set[str](), list[str]()
    todo = ["sleeps 0", "sleeps 1", "busy 0", "busy 1", "busy 2"]
    sources = {"sleeps": "import time\ntime.sleep(1000)", "busy": "print(sum(range(10**6)))"}
    limits = pb.Limits(wall_time=Duration(seconds=1000))
    # The sleepers would be through in half an hour, and there is but one slot: whoever is answered was placed
    # beside them.
    while len(answered) < 3:
        while left and todo:
            left -= 1
            unanswered.add(todo[0])
            script = pb.ScriptTask(source=sources[todo[0].split()[0]])
            await call.write(pb.ExecuteRequest(sample=pb.Sample(sample_id=todo.pop(0), script=script, limits=limits)))
        response = await call.read()
        left += response.credit.samples
        if response.HasField("outcome"):
            assert response.outcome.verdict == pb.VERDICT_PASSED
            unanswered.remove(response.outcome.sample_id)
            answered.append(response.outcome.sample_id)
            left += 1
    assert answered == ["busy 0", "busy 1", "busy 2"]
    assert unanswered == {"sleeps 0", "sleeps 1"}
    for name in sorted(unanswered):
        await call.write(pb.ExecuteRequest(cancellation=pb.Cancellation(sample_id=name)))
        response = await call.read()
        while not response.HasField("outcome"):
            response = await call.read()
        assert (response.outcome.sample_id, response.outcome.verdict) == (name, pb.VERDICT_CANCELLED)
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF

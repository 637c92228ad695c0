import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import grpc
import grpc.aio
import pytest
from cupel_client.gen import sandbox_service_pb2 as pb
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from sandbox_server.runtimes.simulated import Fate, SimulatedRuntime

BIG = "#" * ((1 << 20) + 1)
CHECK = "def check(f): pass"


def function(**fields: Any) -> Any:
    return pb.FunctionCheckTask(**{"solution": "def f(): 1", "entry_point": "f", "check": CHECK, **fields})


def error_info(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo:
    status = rpc_status.from_call(error)
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "cupel.sandbox.v1"
    return info


async def credit(stream: Any) -> int:
    return int((await stream.next()).samples)


async def until(condition: Any) -> None:
    while not condition():  # noqa: ASYNC110 -- a test waits for what it can only look at
        await asyncio.sleep(0.005)


async def test_opens_with_credit_for_twice_the_slots(serve: Any, stream: Any) -> None:
    async with serve(slots=3) as site:
        assert await credit(stream(site)) == 6


async def test_judges_a_thousand_samples_on_one_stream_within_credit(serve: Any, sample: Any, stream: Any) -> None:
    async with serve() as site:
        client = stream(site)
        left, sent = await credit(client), 0
        answers: Counter[int] = Counter()
        while sum(answers.values()) < 1000:
            while left and sent < 1000:
                await client.send(sample(f"s{sent}"))
                left, sent = left - 1, sent + 1
            answers[(await client.next()).verdict] += 1
            left += 1
        await client.call.done_writing()
        assert await client.next() is None
        assert await client.call.code() is grpc.StatusCode.OK
        assert answers == {pb.VERDICT_PASSED: 1000}
        assert site.runtime.most_running <= 2
        assert site.server.service.in_flight == 0


async def test_an_outcome_tells_what_it_ran_under(serve: Any, sample: Any, stream: Any) -> None:
    async with serve() as site:
        client = stream(site)
        await credit(client)
        await client.send(sample(attempt=3, limits=pb.Limits(memory_bytes=64 << 20)))
        outcome = await client.next()
        assert (outcome.sample_id, outcome.attempt) == ("s", 3)
        assert outcome.isolation == "simulated/cell"
        assert outcome.missing_walls == ["reality"]
        assert (outcome.environment, outcome.environment_digest) == ("local", "simulated")
        assert outcome.limits.memory_bytes == 64 << 20
        assert outcome.limits.processes == 64
        stamps = [
            getattr(outcome.timeline, name).ToNanoseconds()
            for name in ("received", "screened", "placed", "forked", "started", "ended")
        ]
        assert stamps[0] > 0
        assert stamps == sorted(stamps)


async def test_more_samples_than_credit_are_refused_and_the_rest_is_answered(
    serve: Any, sample: Any, stream: Any
) -> None:
    async with serve(SimulatedRuntime([Fate.HANG])) as site:
        client = stream(site)
        for number in range(await credit(client) + 2):
            await client.send(sample(f"s{number}"))
        refusals = [await client.next(), await client.next()]
        assert [(refusal.sample_id, refusal.reason, refusal.code) for refusal in refusals] == [
            ("s4", "NO_CREDIT", grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]),
            ("s5", "NO_CREDIT", grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]),
        ]
        await client.cancel_sample("s0")
        assert (await client.next()).verdict == pb.VERDICT_CANCELLED
        # The outcome gave one credit back, and only one.
        await client.send(sample("s6"))
        await client.send(sample("s7"))
        assert (await client.next()).sample_id == "s7"
        client.call.cancel()


@pytest.mark.parametrize(
    ("fields", "code", "reason", "field"),
    [
        ({"sample_id": ""}, "INVALID_ARGUMENT", "FIELD_MISSING", "sample_id"),
        ({"sample_id": "x" * 513}, "INVALID_ARGUMENT", "FIELD_INVALID", "sample_id"),
        ({"attempt": -1}, "INVALID_ARGUMENT", "FIELD_INVALID", "attempt"),
        ({"environment": "mars"}, "NOT_FOUND", "UNKNOWN_ENVIRONMENT", "environment"),
        ({"isolation": pb.ISOLATION_CONTAINER}, "FAILED_PRECONDITION", "ISOLATION_UNAVAILABLE", "isolation"),
        ({"trace_context": "x"}, "INVALID_ARGUMENT", "FIELD_INVALID", "trace_context"),
        (
            {"function_check": function(solution=BIG)},
            "INVALID_ARGUMENT",
            "SOURCE_TOO_LARGE",
            "function_check.solution",
        ),
        (
            {"function_check": function(entry_point="")},
            "INVALID_ARGUMENT",
            "FIELD_MISSING",
            "function_check.entry_point",
        ),
        (
            {"function_check": function(check="")},
            "INVALID_ARGUMENT",
            "FIELD_MISSING",
            "function_check.check",
        ),
        ({"unittest": pb.UnittestTask(solution="")}, "INVALID_ARGUMENT", "FIELD_MISSING", "unittest.test"),
        ({"stdio": pb.StdioTask(source="")}, "INVALID_ARGUMENT", "FIELD_MISSING", "stdio.cases"),
        (
            {"script": pb.ScriptTask(files=[pb.File(path="../x")])},
            "INVALID_ARGUMENT",
            "FIELD_INVALID",
            "script.files",
        ),
        (
            {"script": pb.ScriptTask(stdin=b"x" * (5 << 20))},
            "INVALID_ARGUMENT",
            "SOURCE_TOO_LARGE",
            "sample",
        ),
    ],
)
async def test_a_bad_sample_is_refused_and_gives_its_credit_back(  # noqa: PLR0917 -- pytest passes them by name
    serve: Any, sample: Any, stream: Any, fields: Any, code: str, reason: str, field: str
) -> None:
    async with serve(slots=1) as site:
        client = stream(site)
        await credit(client)
        for _ in range(5):
            await client.send(sample(**fields))
            refusal = await client.next()
            assert (refusal.code, refusal.reason) == (grpc.StatusCode[code].value[0], reason)
            assert refusal.metadata["field"] == field
            assert refusal.message
        await client.send(sample("good"))
        assert (await client.next()).verdict == pb.VERDICT_PASSED
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await site.stub.ExecuteOne(pb.ExecuteOneRequest(sample=sample(**fields)))
        assert caught.value.code() is grpc.StatusCode[code]
        assert error_info(caught.value).reason == reason
        assert error_info(caught.value).metadata["field"] == field


@pytest.mark.parametrize(
    "name",
    [
        "cpu_time",
        "wall_time",
        "memory_bytes",
        "processes",
        "output_bytes",
        "captured_bytes",
        "disk_bytes",
        "file_size_bytes",
        "open_files",
    ],
)
async def test_each_limit_above_its_maximum_is_refused(serve: Any, sample: Any, stream: Any, name: str) -> None:
    async with serve() as site:
        maximum = getattr((await site.stub.GetCapabilities(pb.GetCapabilitiesRequest())).maximum_limits, name)
        client = stream(site)
        await credit(client)
        above: Any = Duration(seconds=maximum.seconds, nanos=1000) if name.endswith("time") else maximum + 1
        await client.send(sample("above", limits=pb.Limits(**{name: above})))
        refusal = await client.next()
        assert (refusal.reason, refusal.metadata["field"]) == ("LIMIT_ABOVE_MAXIMUM", f"limits.{name}")
        assert refusal.metadata["maximum"]
        await client.send(sample("at", limits=pb.Limits(**{name: maximum})))
        outcome = await client.next()
        assert outcome.verdict == pb.VERDICT_PASSED
        assert getattr(outcome.limits, name) == maximum


async def test_a_sample_id_in_flight_is_refused_and_may_come_again_later(serve: Any, sample: Any, stream: Any) -> None:
    async with serve(SimulatedRuntime([Fate.PASS, Fate.HANG])) as site:
        client = stream(site)
        await credit(client)
        await client.send(sample("twice", seed=1))
        await client.send(sample("twice"))
        assert (await client.next()).reason == "ALREADY_IN_FLIGHT"
        await client.cancel_sample("twice")
        assert (await client.next()).verdict == pb.VERDICT_CANCELLED
        await client.send(sample("twice"))
        assert (await client.next()).verdict == pb.VERDICT_PASSED


async def test_a_cancellation_right_behind_its_sample_is_answered(serve: Any, sample: Any, stream: Any) -> None:
    async with serve(SimulatedRuntime([Fate.HANG])) as site:
        client = stream(site)
        await credit(client)
        for number in range(20):
            await client.send(sample(f"s{number}"))
            await client.cancel_sample(f"s{number}")
            await client.cancel_sample(f"s{number}")
            outcome = await client.next()
            assert (outcome.sample_id, outcome.verdict) == (f"s{number}", pb.VERDICT_CANCELLED)
        await client.cancel_sample("unknown")
        assert site.runtime.running == 0


async def test_cancelling_the_call_kills_every_cell_of_it_and_no_other(serve: Any, sample: Any, stream: Any) -> None:
    async with serve(SimulatedRuntime([Fate.HANG]), slots=4) as site:
        mine, other = stream(site), stream(site)
        for client in (mine, other):
            await credit(client)
        for number in range(3):
            await mine.send(sample(f"s{number}"))
        await other.send(sample("o"))
        await until(lambda: site.runtime.running == 4)
        mine.call.cancel()
        await until(lambda: site.runtime.killed == 3)
        assert site.runtime.running == 1
        await other.cancel_sample("o")
        assert (await other.next()).verdict == pb.VERDICT_CANCELLED
        await until(lambda: site.server.service.streams == 1)


async def test_cancelling_or_timing_out_a_single_call_kills_its_cell(serve: Any, sample: Any) -> None:
    async with serve(SimulatedRuntime([Fate.HANG])) as site:
        call = site.stub.ExecuteOne(pb.ExecuteOneRequest(sample=sample()))
        await until(lambda: site.runtime.running == 1)
        call.cancel()
        await until(lambda: site.runtime.killed == 1)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await site.stub.ExecuteOne(pb.ExecuteOneRequest(sample=sample()), timeout=0.2)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: site.runtime.running == 0)
        await until(lambda: site.server.service.in_flight == 0)


async def test_single_calls_beyond_the_places_are_turned_away(serve: Any, sample: Any) -> None:
    async with serve(SimulatedRuntime([Fate.HANG]), slots=1) as site:
        calls = [site.stub.ExecuteOne(pb.ExecuteOneRequest(sample=sample(str(number)))) for number in range(2)]
        await until(lambda: site.server.service.in_flight == 2)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await site.stub.ExecuteOne(pb.ExecuteOneRequest(sample=sample()))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert error_info(caught.value).reason == "NO_CREDIT"
        for call in calls:
            call.cancel()
        await until(lambda: site.server.service.in_flight == 0)


async def test_a_request_without_a_message_ends_the_stream(serve: Any, stream: Any) -> None:
    async with serve() as site:
        client = stream(site)
        await credit(client)
        await client.call.write(pb.ExecuteRequest())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.next()
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert error_info(caught.value).reason == "EMPTY_REQUEST"


async def test_a_call_without_a_sample_is_refused(serve: Any) -> None:
    async with serve() as site:
        for call, request in (
            (site.stub.ExecuteOne, pb.ExecuteOneRequest()),
            (site.stub.Screen, pb.ScreenRequest()),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(request)
            assert error_info(caught.value).reason == "FIELD_MISSING"


async def test_half_closing_waits_for_the_answers(serve: Any, sample: Any, stream: Any) -> None:
    async with serve(SimulatedRuntime([Fate.PASS], duration=timedelta(milliseconds=30))) as site:
        client = stream(site)
        for number in range(await credit(client)):
            await client.send(sample(f"s{number}"))
        await client.call.done_writing()
        answers = [await client.next() for _ in range(4)]
        assert {answer.verdict for answer in answers} == {pb.VERDICT_PASSED}
        assert await client.next() is None
        assert await client.call.code() is grpc.StatusCode.OK


async def test_a_higher_priority_goes_first(serve: Any, sample: Any, stream: Any) -> None:
    runtime = SimulatedRuntime([Fate.PASS, Fate.HANG])
    async with serve(runtime, slots=1) as first, serve_again(first) as client_b:
        runtime.order = []
        client = stream(first)
        await credit(client)
        await client.send(sample("holds", seed=1))
        await until(lambda: runtime.running == 1)
        await client.send(sample("usual"))
        other = stream(client_b)
        await credit(other)
        await other.send(sample("urgent", priority=5))
        await until(lambda: first.server.service.in_flight == 3)
        await client.cancel_sample("holds")
        await until(lambda: len(runtime.order or ()) == 3)
        assert runtime.order == ["holds", "urgent", "usual"]


class serve_again:  # noqa: N801 -- reads as a verb where it is used
    """The same server, as another client sees it."""

    def __init__(self, site: Any) -> None:
        self.site = site

    async def __aenter__(self) -> Any:
        return self.site

    async def __aexit__(self, *error: object) -> Any:
        return None


async def test_a_lost_worker_costs_a_second_run_and_the_outcome_says_so(serve: Any, sample: Any, stream: Any) -> None:
    async with serve(SimulatedRuntime([Fate.LOST_ONCE, Fate.LOST, Fate.FAULT])) as site:
        client = stream(site)
        await credit(client)
        await client.send(sample("once", seed=0))
        outcome = await client.next()
        assert outcome.verdict == pb.VERDICT_PASSED
        assert "Run 2" in outcome.explanation
        for seed, reason in ((1, "WORKER_LOST"), (2, "SIMULATED")):
            await client.send(sample("again", seed=seed))
            outcome = await client.next()
            assert outcome.verdict == pb.VERDICT_SANDBOX_ERROR
            assert outcome.sandbox_fault.reason == reason


async def test_a_failure_of_the_server_costs_one_sample_and_not_the_stream(
    serve: Any, sample: Any, stream: Any, monkeypatch: pytest.MonkeyPatch
) -> Any:
    async with serve() as site:
        run = site.runtime.run

        async def broken(item: Any, on_activity: Any) -> Any:
            if item.sample_id == "bad":
                raise RuntimeError("a secret")
            return await run(item, on_activity)

        monkeypatch.setattr(site.runtime, "run", broken)
        client = stream(site)
        await credit(client)
        await client.send(sample("bad"))
        outcome = await client.next()
        assert (outcome.verdict, outcome.sandbox_fault.reason) == (pb.VERDICT_SANDBOX_ERROR, "INTERNAL")
        assert "secret" not in str(outcome)
        await client.send(sample("good"))
        assert (await client.next()).verdict == pb.VERDICT_PASSED


async def test_streams_end_when_the_workers_are_gone(serve: Any, sample: Any, stream: Any) -> None:
    async with serve() as site:
        client = stream(site)
        await credit(client)
        site.runtime.serving = False
        await client.send(sample())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.next()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert error_info(caught.value).reason == "WORKERS_LOST"


async def test_a_flood_without_credit_does_not_fill_the_server(serve: Any, sample: Any, stream: Any) -> None:
    async with serve(SimulatedRuntime([Fate.HANG]), slots=1) as site:
        client = stream(site)

        async def flood() -> None:
            for number in range(3000):
                await client.send(sample(f"s{number}"))

        flooding = asyncio.create_task(flood())
        await credit(client)
        refused = 0
        while refused < 2998:
            refused += (await client.next()).reason == "NO_CREDIT"
            assert site.server.service.in_flight < 600
        await flooding
        client.call.cancel()

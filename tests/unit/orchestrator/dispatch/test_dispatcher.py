"""Every sample is answered exactly once, whatever servers do."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from cupel_client.gen import sandbox_service_pb2 as pb

from orchestrator.dispatch.dispatcher import Dispatcher, Refused
from orchestrator.dispatch.endpoints import Endpoint, FixedEndpoints
from orchestrator.errors import NoSandboxError
from orchestrator.model import FunctionCheckTask, Limits, Result, Sample
from tests.unit.orchestrator.rote_server import RoteServer, failed_sandbox, passed, refused

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Iterable, Iterator

    Serve = Callable[[RoteServer], contextlib.AbstractAsyncContextManager[Endpoint]]


def samples(count: int, solution: str = "def f(): pass") -> Iterator[Sample]:
    for number in range(count):
        task = FunctionCheckTask(solution=solution, entry_point="f", check="def check(f): pass")
        yield Sample(f"T/{number}#0", f"T/{number}", 0, task, solution, Limits(cpu_time_s=1.5))


async def dispatch(
    endpoints: Iterable[Endpoint],
    work: Iterator[Sample],
    *,
    patience_s: float = 30.0,
    parallel: int | None = None,
) -> tuple[list[Result], list[Refused]]:
    results: list[Result] = []
    dispatcher = Dispatcher(FixedEndpoints([], patience_s), work, results.append, parallel)
    return results, await dispatcher.run(list(endpoints))


def ids(results: Iterable[Result]) -> Counter[str]:
    return Counter(result.sample_id for result in results)


def expected(count: int) -> Counter[str]:
    return Counter(f"T/{number}#0" for number in range(count))


async def test_each_sample_is_answered_once_within_credit(serve: Serve) -> None:
    rote = RoteServer(credit=8)
    async with serve(rote) as endpoint:
        results, refusals = await dispatch([endpoint], samples(200))
    assert ids(results) == expected(200) == rote.seen
    assert refusals == []
    assert all(result.strict_passed and result.verdict == "PASSED" for result in results)
    assert results[0].outcome["limits"] == {"cpu_time": "1.500s"}
    assert not rote.overdrawn


async def test_all_of_the_credit_is_used_and_no_more(serve: Serve) -> None:
    rote = RoteServer(credit=8, hold_until=8)
    async with serve(rote) as endpoint:
        await dispatch([endpoint], samples(64))
    assert rote.most_unanswered == 8
    assert not rote.overdrawn


async def test_parallel_bounds_what_is_in_flight(serve: Serve) -> None:
    rote = RoteServer(credit=8, hold_until=3)
    async with serve(rote) as endpoint:
        results, _ = await dispatch([endpoint], samples(30), parallel=3)
    assert ids(results) == expected(30)
    assert rote.most_unanswered == 3


async def test_samples_are_drawn_as_credit_allows(serve: Serve) -> None:
    drawn = answered = most = 0

    def counting() -> Iterator[Sample]:
        nonlocal drawn, most
        for sample in samples(20_000):
            drawn += 1
            most = max(most, drawn - answered)
            yield sample

    def count(_: Result) -> None:
        nonlocal answered
        answered += 1

    rote = RoteServer(credit=32)
    async with serve(rote) as endpoint:
        dispatcher = Dispatcher(FixedEndpoints([]), counting(), count)
        assert await dispatcher.run([endpoint]) == []
    assert (drawn, answered) == (20_000, 20_000)
    assert most <= rote.credit + 1


async def test_a_lost_server_costs_nothing(serve: Serve) -> None:
    answers = 0

    def dying(sample: pb.Sample) -> list[pb.ExecuteResponse] | None:
        nonlocal answers
        answers += 1
        return None if answers in {5, 50, 120} else [passed(sample)]

    rote = RoteServer(dying)
    async with serve(rote) as endpoint:
        results, _ = await dispatch([endpoint], samples(200))
    assert ids(results) == expected(200)
    assert {result.verdict for result in results} == {"PASSED"}
    assert rote.streams == 4
    # A first attempt may have died on the wire, unseen.
    assert all(numbers == sorted(set(numbers)) for numbers in rote.attempts.values())


async def test_what_kills_three_servers_is_given_up_and_its_neighbours_are_not(serve: Serve) -> None:
    rote = RoteServer(lambda sample: None if sample.sample_id == "T/3#0" else [passed(sample)], hold_until=1)
    async with serve(rote) as endpoint:
        results, _ = await dispatch([endpoint], samples(40))
    assert ids(results) == expected(40)
    lost = [result for result in results if result.is_sandbox_error]
    assert [result.sample_id for result in lost] == ["T/3#0"]
    assert lost[0].outcome["sandbox_fault"]["reason"] == "SERVER_LOST"  # type: ignore[index] # JSON
    assert rote.seen["T/3#0"] == 3


async def test_another_server_takes_over(serve: Serve) -> None:
    alive, dead = RoteServer(), RoteServer(lambda _: None)
    async with serve(alive) as one, serve(dead) as other:
        results, _ = await dispatch([one, other], samples(300), patience_s=0.5)
    assert ids(results) == expected(300)
    assert {result.verdict for result in results} == {"PASSED"}


async def test_no_server_is_an_error_that_names_it() -> None:
    with pytest.raises(NoSandboxError, match=r"nowhere: gave up after 0.2 s: UNAVAILABLE"):
        await dispatch([Endpoint("nowhere", "unix:/nonexistent/socket")], samples(3), patience_s=0.2)


async def test_an_answer_given_twice_counts_once(serve: Serve) -> None:
    rote = RoteServer(lambda sample: [passed(sample), passed(sample)])
    async with serve(rote) as endpoint:
        results, _ = await dispatch([endpoint], samples(50))
    assert ids(results) == expected(50)
    assert not rote.overdrawn


async def test_an_answer_to_nothing_is_ignored(serve: Serve) -> None:
    stranger = passed(pb.Sample(sample_id="stranger"))
    async with serve(RoteServer(lambda sample: [stranger, pb.ExecuteResponse(), passed(sample)])) as endpoint:
        results, _ = await dispatch([endpoint], samples(20))
    assert ids(results) == expected(20)


async def test_a_sandbox_error_is_tried_three_times_in_all(serve: Serve) -> None:
    rote = RoteServer(lambda sample: [failed_sandbox(sample)] if sample.sample_id == "T/1#0" else [passed(sample)])
    async with serve(rote) as endpoint:
        results, _ = await dispatch([endpoint], samples(5))
    assert ids(results) == expected(5)
    assert rote.attempts["T/1#0"] == [1, 2, 3]
    assert [result.sample_id for result in results if result.is_sandbox_error] == ["T/1#0"]


async def test_a_sandbox_error_is_tried_elsewhere(serve: Serve) -> None:
    sound, broken = RoteServer(), RoteServer(lambda sample: [failed_sandbox(sample)], credit=1)
    async with serve(broken) as one, serve(sound) as other:
        results, _ = await dispatch([one, other], samples(100))
    assert ids(results) == expected(100)
    assert not [result for result in results if result.is_sandbox_error]
    assert max(broken.seen.values()) == 1


async def test_refused_samples_are_reported_after_all_others_are_answered(serve: Serve) -> None:
    def picky(sample: pb.Sample) -> list[pb.ExecuteResponse]:
        if sample.sample_id == "T/0#0":
            return [refused(sample, 3, "LIMIT_ABOVE_MAXIMUM", field="limits.memory_bytes")]
        return [passed(sample)]

    rote = RoteServer(picky, credit=2)
    async with serve(rote) as endpoint:
        results, refusals = await dispatch([endpoint], samples(30))
    assert ids(results) + Counter(["T/0#0"]) == expected(30)
    assert [(one.sample.sample_id, one.reason, one.field) for one in refusals] == [
        ("T/0#0", "LIMIT_ABOVE_MAXIMUM", "limits.memory_bytes")
    ]
    assert rote.seen["T/0#0"] == 1


@pytest.mark.parametrize(("code", "reason"), [(5, "UNKNOWN_ENVIRONMENT"), (9, "MISSING_PACKAGES")])
async def test_what_one_server_lacks_is_asked_of_the_other(serve: Serve, code: int, reason: str) -> None:
    lacking = RoteServer(lambda sample: [refused(sample, code, reason)])
    async with serve(lacking) as one, serve(RoteServer()) as other:
        results, refusals = await dispatch([one, other], samples(60))
    assert ids(results) == expected(60)
    assert refusals == []


async def test_no_credit_and_drain_are_nobodys_fault(serve: Serve) -> None:
    count = 0

    def moody(sample: pb.Sample) -> list[pb.ExecuteResponse]:
        nonlocal count
        count += 1
        if count == 3:
            return [pb.ExecuteResponse(drain=pb.Drain()), passed(sample)]
        if count in {4, 5}:
            return [refused(sample, 14, "DRAINING")]
        if count == 20:
            return [refused(sample, 8, "NO_CREDIT"), pb.ExecuteResponse(credit=pb.Credit(samples=1))]
        return [passed(sample)]

    rote = RoteServer(moody)
    async with serve(rote) as endpoint:
        results, refusals = await dispatch([endpoint], samples(40))
    assert ids(results) == expected(40)
    assert refusals == []
    assert rote.streams == 2


async def test_what_cannot_be_sent_is_refused_here_and_spares_its_neighbours(serve: Serve) -> None:
    def work() -> Iterator[Sample]:
        yield from samples(5)
        for number, solution in enumerate(("x" * (9 << 20), "'\ud800'")):
            yield Sample(f"B#{number}", "B", number, FunctionCheckTask(solution, "f"), solution)
        yield from (Sample(f"C#{number}", "C", number, FunctionCheckTask("", "f"), "") for number in range(5))

    rote = RoteServer()
    async with serve(rote) as endpoint:
        results, refusals = await dispatch([endpoint], work())
    assert len(results) == 10
    assert [(one.sample.sample_id, one.reason) for one in refusals] == [
        ("B#0", "SOURCE_TOO_LARGE"),
        ("B#1", "FIELD_INVALID"),
    ]
    assert rote.streams == 1


async def test_what_the_journal_cannot_take_ends_the_run(serve: Serve) -> None:
    def full(_: Result) -> None:
        raise OSError("disk full")

    async with serve(RoteServer()) as endpoint:
        with pytest.raises(OSError, match="disk full"):
            await Dispatcher(FixedEndpoints([]), samples(5), full).run([endpoint])


async def test_a_sample_that_cannot_be_assembled_ends_the_run(serve: Serve) -> None:
    def broken() -> Iterator[Sample]:
        yield from samples(2)
        raise KeyError("T/9")

    async with serve(RoteServer()) as endpoint:
        with pytest.raises(KeyError, match="T/9"):
            await dispatch([endpoint], broken())


async def test_nothing_to_do_ends_at_once(serve: Serve) -> None:
    async with serve(RoteServer()) as endpoint:
        assert await dispatch([endpoint], samples(0)) == ([], [])

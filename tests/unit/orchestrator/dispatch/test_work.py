"""The books of a run balance, whatever order things happen in."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.dispatch.work import LOSSES, Work, WorkQueue
from orchestrator.model import FunctionCheckTask, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator


def samples(count: int) -> Iterator[Sample]:
    return (Sample(str(number), "T", number, FunctionCheckTask("", "f"), "") for number in range(count))


def queue(count: int, *lanes: str, parallel: int | None = None) -> tuple[WorkQueue, dict[str, asyncio.Event]]:
    books = WorkQueue(samples(count), parallel)
    events = {lane: asyncio.Event() for lane in lanes}
    for lane, event in events.items():
        books.join(lane, event)
    return books, events


def take(books: WorkQueue, lane: str) -> Work:
    work = books.take(lane)
    assert work is not None
    return work


def test_what_was_lost_comes_first_and_what_met_a_fault_last() -> None:
    books, _ = queue(4, "a")
    lost, faulty = take(books, "a"), take(books, "a")
    books.give_back(lost)
    books.retry(faulty)
    order = [take(books, "a").sample.sample_id for _ in range(4)]
    assert order == ["0", "2", "3", "1"]
    assert (lost.attempt, faulty.attempt) == (2, 2)


def test_a_retry_waits_for_another_lane_while_there_is_one() -> None:
    books, events = queue(1, "a", "b")
    work = take(books, "a")
    work.shunned.add("a")
    events["b"].clear()
    books.retry(work)
    assert books.take("a") is None
    assert events["b"].is_set()
    books.leave("b")
    assert events["a"].is_set()
    assert books.take("a") is work


def test_all_lanes_wake_when_the_last_sample_is_done() -> None:
    books, events = queue(1, "a", "b")
    take(books, "a")
    assert books.take("b") is None
    assert not books.is_finished()
    events["b"].clear()
    books.done()
    assert books.is_finished()
    assert events["b"].is_set()


def test_parallel_holds_back_and_lets_go() -> None:
    books, events = queue(3, "a", "b", parallel=1)
    take(books, "a")
    assert books.take("b") is None
    events["b"].clear()
    books.done()
    assert events["b"].is_set()
    assert books.take("b") is not None


def test_a_sample_that_two_servers_died_under_travels_alone() -> None:
    books, _ = queue(2, "a")
    work = take(books, "a")
    for loss in range(1, LOSSES):
        assert not work.is_suspect
        work.losses = loss
    assert work.is_suspect
    books.give_back(work)
    assert books.next_is_suspect


@given(st.integers(0, 8), st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["done", "lost", "fault"]))))
def test_every_sample_is_done_exactly_once(count: int, events: list[tuple[str, str]]) -> None:
    books, _ = queue(count, "a", "b")
    finished: Counter[str] = Counter()
    for lane, event in [*events, *[("a", "done"), ("b", "done")] * count]:
        work = books.take(lane)
        if work is None:
            continue
        if event == "lost":
            books.give_back(work)
        elif event == "fault":
            work.shunned.add(lane)
            books.retry(work)
        else:
            finished[work.sample.sample_id] += 1
            books.done()
    assert books.take("a") is None
    assert finished == Counter(map(str, range(count)))
    assert books.is_finished()
    assert books.outstanding == 0

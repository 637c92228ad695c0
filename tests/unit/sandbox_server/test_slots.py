import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_server.slots import Slots


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def placing(waiters: list[tuple[str, str, int]], slots: Slots) -> list[str]:
    """Returns the order in which (name, stream, priority) get the one slot, all having waited."""
    order: list[str] = []

    async def wait(name: str, stream: str, priority: int) -> None:
        async with slots.one(stream, priority):
            order.append(name)

    async with slots.one("holder"):
        tasks = []
        for waiter in waiters:
            tasks.append(asyncio.create_task(wait(*waiter)))
            await asyncio.sleep(0)
        assert slots.waiting == len(waiters)
    await asyncio.gather(*tasks)
    return order


async def test_streams_take_turns() -> None:
    waiters = [("a1", "a", 0), ("a2", "a", 0), ("a3", "a", 0), ("b1", "b", 0), ("c1", "c", 0), ("b2", "b", 0)]
    assert await placing(waiters, Slots(1)) == ["a1", "b1", "c1", "a2", "b2", "a3"]


async def test_a_higher_priority_goes_first() -> None:
    waiters = [("low", "a", -1), ("usual", "a", 0), ("urgent", "b", 7), ("usual2", "b", 0)]
    assert await placing(waiters, Slots(1)) == ["urgent", "usual", "usual2", "low"]


async def test_never_more_than_its_count_at_once() -> None:
    slots, at_once, most = Slots(3), 0, 0

    async def hold(number: int) -> None:
        nonlocal at_once, most
        async with slots.one(number % 4, number % 3):
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0)
            at_once -= 1

    await asyncio.gather(*(hold(number) for number in range(100)))
    assert most == 3
    assert (slots.free, slots.waiting) == (3, 0)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 1), st.booleans()), max_size=12))
def test_cancelled_waiters_leave_nothing(waiters: list[tuple[int, int, bool]]) -> None:
    async def scenario() -> None:
        slots = Slots(1)

        async def hold(stream: int, priority: int) -> None:
            async with slots.one(stream, priority):
                await asyncio.sleep(0)

        async with slots.one("holder"):
            tasks = [asyncio.create_task(hold(stream, priority)) for stream, priority, _ in waiters]
            await settle()
            for task, (_, _, cancelled) in zip(tasks, waiters, strict=True):
                if cancelled:
                    task.cancel()
        # Some are cancelled in the very moment in which the slot is handed on.
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        assert (slots.free, slots.waiting) == (1, 0)
        assert slots._queues == {}

    asyncio.run(scenario())


async def test_a_slot_handed_to_a_waiter_that_is_cancelled_goes_on() -> None:
    slots = Slots(1)
    got: list[str] = []

    async def wait(name: str) -> None:
        async with slots.one(name):
            got.append(name)

    async with slots.one("holder"):
        first, second = asyncio.create_task(wait("first")), asyncio.create_task(wait("second"))
        await settle()
    first.cancel()  # it has the slot already, and has not run since
    with pytest.raises(asyncio.CancelledError):
        await first
    await second
    assert got == ["second"]
    assert slots.free == 1


def test_needs_a_slot() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Slots(0)

import asyncio
import contextlib
from collections.abc import Callable, Coroutine

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_server.slots import Slot, Slots


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


def test_needs_as_many_cells_as_slots() -> None:
    with pytest.raises(ValueError, match="3 slots need as many cells, not 2"):
        Slots(3, 2)


async def test_a_slot_whose_cell_sleeps_is_the_next_ones() -> None:
    slots = Slots(1, 2)
    async with slots.one("a") as sleeper:
        waiting = asyncio.create_task(placed(slots, "b"))
        await settle()
        assert not waiting.done()
        sleeper.park()
        sleeper.park()
        assert (slots.awake, slots.parked, slots.waiting) == (1, 1, 0)
        done = await waiting
        assert (slots.awake, slots.parked) == (1, 1)
        # It wakes up beside the other: both go on, and nobody else does until one is through.
        sleeper.unpark()
        sleeper.unpark()
        assert (slots.awake, slots.parked, slots.free) == (2, 0, 0)
        late = asyncio.create_task(placed(slots, "c"))
        await settle()
        assert not late.done()
        await done()
        await settle()
        assert not late.done()
    await (await late)()
    assert (slots.awake, slots.parked, slots.free) == (0, 0, 1)


async def placed(slots: Slots, stream: str) -> Callable[[], Coroutine[None, None, None]]:
    """Waits for a slot and returns what gives it back."""
    holding = contextlib.AsyncExitStack()
    await holding.enter_async_context(slots.one(stream))
    return holding.aclose


async def test_a_cell_that_ends_in_its_sleep_leaves_nothing() -> None:
    slots = Slots(1, 2)
    async with slots.one("a") as slot:
        slot.park()
        assert slots.free == 1
    assert (slots.awake, slots.parked, slots.free) == (0, 0, 1)


async def test_sleeping_cells_are_not_without_bound() -> None:
    slots = Slots(1, 3)
    async with contextlib.AsyncExitStack() as held:
        for number in range(3):
            (await held.enter_async_context(slots.one(number))).park()
        late = asyncio.create_task(placed(slots, "late"))
        await settle()
        assert (slots.free, slots.waiting, slots.parked) == (0, 1, 3)
    await (await late)()


_STEPS = st.lists(st.tuples(st.sampled_from(["arrive", "park", "unpark", "end", "cancel"]), st.integers(0, 7)))


@given(st.integers(1, 3), st.integers(0, 3), _STEPS)
def test_awake_cells_are_never_placed_beyond_the_slots_nor_any_beyond_the_cells(
    count: int, more: int, steps: list[tuple[str, int]]
) -> None:
    async def scenario() -> None:
        slots = Slots(count, count + more)
        held: list[Slot] = []
        ends: dict[Slot, asyncio.Event] = {}
        tasks: list[asyncio.Task[None]] = []

        async def live(stream: int) -> None:
            async with slots.one(stream, stream % 2) as slot:
                # Itself among them.
                assert sum(not other.parked for other in held) < count
                assert len(held) < count + more
                held.append(slot)
                ends[slot] = asyncio.Event()
                try:
                    await ends[slot].wait()
                finally:
                    held.remove(slot)

        for step, number in steps:
            if step == "arrive":
                tasks.append(asyncio.create_task(live(number)))
            elif step == "cancel" and tasks:
                tasks[number % len(tasks)].cancel()
            elif held:
                slot = held[number % len(held)]
                {"park": slot.park, "unpark": slot.unpark, "end": ends[slot].set}.get(step, slot.park)()
            await settle()
            assert slots.parked == sum(slot.parked for slot in held)
            assert slots.awake == len(held) - slots.parked
            # Whoever waits does so for want of room.
            assert not (slots.free and slots.waiting)
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert result is None or isinstance(result, asyncio.CancelledError), result
        assert (slots.awake, slots.parked, slots.waiting, slots.free) == (0, 0, 0, count)
        assert slots._queues == {}

    asyncio.run(scenario())

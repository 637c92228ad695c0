"""Placement: which waiting sample gets the next free slot.

Belongs here: the order of the queue, and who holds what. A higher priority goes first; within a priority the streams
take turns, so that a client with ten thousand samples does not keep out one with three; within a stream it is first
come, first served. What is done with a slot belongs to `judging`.

A slot stands for a cell that wants a CPU. While a cell sleeps it is parked: it keeps its memory, and its slot is for
the next in the queue. When it wakes up it goes on at once, since nothing can hold it back; more cells than slots may be
awake then, and none is placed until that is over.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Hashable

    _Waiters = OrderedDict[Hashable, deque[asyncio.Future[None]]]


class Slot:
    """What one cell holds, from `Slots.one`.

    Args:
        count: Changes how many cells are awake and how many are parked, by so many each.
    """

    __slots__ = ("_count", "_parked")

    def __init__(self, count: Callable[[int, int], None]) -> None:
        self._count = count
        self._parked = False

    @property
    def parked(self) -> bool:
        """Whether its cell sleeps."""
        return self._parked

    def park(self) -> None:
        """Lets the next in the queue go on while the cell sleeps. Changes nothing when it is parked already."""
        if not self._parked:
            self._parked = True
            self._count(-1, 1)

    def unpark(self) -> None:
        """Takes the slot back for a cell that has woken up, free or not."""
        if self._parked:
            self._parked = False
            self._count(1, -1)


class Slots:
    """Hands out slots.

    Args:
        count: How many cells may be awake at once, for new ones to be placed.
        cells: How many cells there may be at once, parked ones included; as many as there are slots by default.

    Raises:
        ValueError: There is no slot, or there are fewer cells than slots.
    """

    def __init__(self, count: int, cells: int | None = None) -> None:
        if count < 1:
            raise ValueError(f"a server needs at least one slot, not {count}")
        self.count = count
        self.cells = count if cells is None else cells
        if self.cells < count:
            raise ValueError(f"{count} slots need as many cells, not {self.cells}")
        self._awake = 0
        self._parked = 0
        self._queues: dict[int, _Waiters] = {}

    @property
    def free(self) -> int:
        """How many cells could be placed now."""
        return max(0, min(self.count - self._awake, self.cells - self._awake - self._parked))

    @property
    def awake(self) -> int:
        """How many cells hold a slot; more than there are when parked ones have woken up."""
        return self._awake

    @property
    def parked(self) -> int:
        """How many cells sleep."""
        return self._parked

    @property
    def waiting(self) -> int:
        """How many wait for a slot."""
        return sum(len(waiters) for queue in self._queues.values() for waiters in queue.values())

    @asynccontextmanager
    async def one(self, stream: Hashable, priority: int = 0) -> AsyncIterator[Slot]:
        """Waits for a slot and holds it. Cancelling the wait leaves the queue as if it had never been.

        Args:
            stream: Whose turn it takes.
            priority: Higher goes first.
        """
        await self._acquire(stream, priority)
        slot = Slot(self._count)
        try:
            yield slot
        finally:
            self._count(*((0, -1) if slot.parked else (-1, 0)))

    async def _acquire(self, stream: Hashable, priority: int) -> None:
        if self.free:
            # Whatever is free means an empty queue: it goes from hand to hand while anybody waits.
            self._awake += 1
            return
        turn = asyncio.get_running_loop().create_future()
        queue = self._queues.setdefault(priority, OrderedDict())
        queue.setdefault(stream, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._forget(stream, priority, turn)
            else:
                # The slot was handed over in the same moment: pass it on.
                self._count(-1, 0)
            raise

    def _count(self, awake: int, parked: int) -> None:
        """Changes who holds what, and places who waits as far as that makes room."""
        self._awake += awake
        self._parked += parked
        while self.free and self._queues:
            turn = self._next_turn()
            if not turn.done():
                self._awake += 1
                turn.set_result(None)

    def _next_turn(self) -> asyncio.Future[None]:
        priority = max(self._queues)
        queue = self._queues[priority]
        stream, waiters = next(iter(queue.items()))
        turn = waiters.popleft()
        if waiters:
            queue.move_to_end(stream)
        else:
            self._drop(stream, priority)
        return turn

    def _forget(self, stream: Hashable, priority: int, turn: asyncio.Future[None]) -> None:
        waiters = self._queues.get(priority, OrderedDict()).get(stream)
        # A release may have met the cancelled turn first and taken it out.
        if waiters is not None and turn in waiters:
            waiters.remove(turn)
            if not waiters:
                self._drop(stream, priority)

    def _drop(self, stream: Hashable, priority: int) -> None:
        queue = self._queues[priority]
        del queue[stream]
        if not queue:
            del self._queues[priority]

"""Placement: which waiting sample gets the next free slot.

Belongs here: the order of the queue. A higher priority goes first; within a priority the streams take turns,
so that a client with ten thousand samples does not keep out one with three; within a stream it is first come,
first served. What is done with a slot belongs to `judging`.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable

    _Waiters = OrderedDict[Hashable, deque[asyncio.Future[None]]]


class Slots:
    """Hands out a fixed number of slots.

    Args:
        count: How many cells run at once.
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError(f"a server needs at least one slot, not {count}")
        self.count = count
        self._free = count
        self._queues: dict[int, _Waiters] = {}

    @property
    def free(self) -> int:
        """How many slots nobody holds."""
        return self._free

    @property
    def waiting(self) -> int:
        """How many wait for a slot."""
        return sum(len(waiters) for queue in self._queues.values() for waiters in queue.values())

    @asynccontextmanager
    async def one(self, stream: Hashable, priority: int = 0) -> AsyncIterator[None]:
        """Waits for a slot and holds it. Cancelling the wait leaves the queue as if it had never been.

        Args:
            stream: Whose turn it takes.
            priority: Higher goes first.
        """
        await self._acquire(stream, priority)
        try:
            yield
        finally:
            self._release()

    async def _acquire(self, stream: Hashable, priority: int) -> None:
        if self._free:
            # A free slot means an empty queue: slots go from hand to hand while anybody waits.
            self._free -= 1
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
                self._release()
            raise

    def _release(self) -> None:
        while self._queues:
            priority = max(self._queues)
            queue = self._queues[priority]
            stream, waiters = next(iter(queue.items()))
            turn = waiters.popleft()
            if waiters:
                queue.move_to_end(stream)
            else:
                self._drop(stream, priority)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

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

"""What is to be done, what is being done, and what is to be done again. Pure bookkeeping: no I/O, no network.

Samples are drawn from an iterator only when a server is ready to take one, so that a run of a million holds
no more of them than are in flight.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    from orchestrator.model import Sample

ATTEMPTS_AFTER_FAULT = 2
"""How often a SANDBOX_ERROR is tried again."""
LOSSES = 3
"""How many servers may die under a sample before it is given up."""

_LOOK_AHEAD = 64
"""How far work for other lanes is skipped: the whole shelf would make a run quadratic when all goes wrong."""


@dataclass(slots=True)
class Work:
    """A sample on its way, and what it has met."""

    sample: Sample
    attempt: int = 1
    faults: int = 0
    """How often a server answered SANDBOX_ERROR."""
    losses: int = 0
    """How often a server was lost while it had the sample."""
    shunned: set[str] = field(default_factory=set)
    """Addresses that had their try; others are better."""

    @property
    def is_suspect(self) -> bool:
        """Whether it may be what kills servers: then it travels alone and takes no neighbours down."""
        return self.losses >= LOSSES - 1


class WorkQueue:
    """Hands out work and takes it back; knows when all is done.

    Order: what was lost with a server, then new samples, then what met a SANDBOX_ERROR, which is likelier to
    go well later, when the server has replaced its worker.
    """

    def __init__(self, samples: Iterator[Sample], parallel: int | None = None) -> None:
        self._samples: Iterator[Sample] | None = samples
        self._parallel = parallel
        self._returned: deque[Work] = deque()
        self._retries: deque[Work] = deque()
        self._outstanding = 0
        self._lanes: dict[str, asyncio.Event] = {}

    def join(self, address: str, wake: asyncio.Event) -> None:
        """Adds a lane; its event is set whenever there may be something to take, or nothing is left."""
        self._lanes[address] = wake

    def leave(self, address: str) -> None:
        """Removes a lane that lost its server or has nothing left to do."""
        self._lanes.pop(address, None)
        self._wake()

    def tried_everywhere(self, work: Work) -> bool:
        """Whether every lane there is has tried this work."""
        return work.shunned.issuperset(self._lanes)

    @property
    def outstanding(self) -> int:
        """How many samples are in flight, on all lanes together."""
        return self._outstanding

    def is_finished(self) -> bool:
        """Whether every sample was answered."""
        return self._samples is None and not (self._outstanding or self._returned or self._retries)

    @property
    def next_is_suspect(self) -> bool:
        """Whether what comes next must travel alone."""
        return bool(self._returned) and self._returned[0].is_suspect

    def take(self, address: str) -> Work | None:
        """Returns work for a lane; None when there is none for it at present."""
        if self._parallel is not None and self._outstanding >= self._parallel:
            return None
        work = self._pick(self._returned, address) or self._fresh() or self._pick(self._retries, address)
        if work is not None:
            self._outstanding += 1
        elif self.is_finished():
            self._wake()
        return work

    def done(self) -> None:
        """Notes that work was answered for good."""
        self._outstanding -= 1
        if self._parallel is not None or self.is_finished():
            self._wake()

    def give_back(self, work: Work) -> None:
        """Takes work back that a lane could not get answered."""
        self._outstanding -= 1
        work.attempt += 1
        self._returned.append(work)
        self._wake()

    def retry(self, work: Work) -> None:
        """Takes work back that met a SANDBOX_ERROR."""
        self._outstanding -= 1
        work.attempt += 1
        self._retries.append(work)
        self._wake()

    def _fresh(self) -> Work | None:
        """Returns work for the next new sample."""
        if self._samples is None:
            return None
        sample = next(self._samples, None)
        if sample is None:
            self._samples = None
            return None
        return Work(sample)

    def _pick(self, shelf: deque[Work], address: str) -> Work | None:
        """Returns the first work on a shelf that had no try at this address, or that every lane has tried."""
        for place, work in enumerate(islice(shelf, _LOOK_AHEAD)):
            if address not in work.shunned or self.tried_everywhere(work):
                del shelf[place]
                return work
        return None

    def _wake(self) -> None:
        """Wakes every lane."""
        for wake in self._lanes.values():
            wake.set()

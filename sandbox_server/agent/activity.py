"""Whether a cell sleeps: whether it asks for next to no CPU. What is done about it is the server's matter.

What counts is demand and not use: a process that is runnable and gets no CPU because its neighbours have it is busy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, List

from . import tree

if TYPE_CHECKING:
    from .tree import Thread

INTERVAL_S = 0.25
"""How long a cell is watched before anything is said of it. Most samples end within the first interval."""
_EARLY_S = 0.05
"""By how much a look may come too early, so that it need not wait for the next one."""
_ASLEEP_BELOW = 0.1
"""The share of one core below which a cell sleeps. The kernel counts use in steps of 10 ms: 4 % of an interval."""


class Activity:
    """Follows what the processes of one cell ask of the CPUs.

    Args:
        began: When the first of them started, by the monotonic clock, in seconds.
    """

    def __init__(self, began: float) -> None:
        self.asleep = False
        """Whether the cell sleeps, as far as is known."""
        self._since = began
        self._cpu_s = 0.0
        self._threads: Dict[int, Thread] = {}

    def look(self, now: float, pids: List[int], cpu_s: float) -> bool:
        """Looks at the processes once an interval; returns whether `asleep` has changed.

        Args:
            now: The monotonic clock, in seconds.
            pids: The processes of the cell, the sample's own in front; none where they cannot be seen, and then
                nothing is said.
            cpu_s: What they have used so far, in seconds, with what ended threads and children used.
        """
        if now - self._since < INTERVAL_S - _EARLY_S or not pids:
            return False
        threads = tree.threads(pids)
        first = threads.get(pids[0])
        # One that has ended is told of as soon as the zygote gets a CPU to reap it: until then it does not sleep.
        return first is not None and first.state != "Z" and self.take(now, cpu_s, threads)

    def take(self, now: float, cpu_s: float, threads: Dict[int, Thread]) -> bool:
        """Compares a reading with the one before; returns whether `asleep` has changed.

        Args:
            now: The monotonic clock, in seconds.
            cpu_s: As in `look`.
            threads: What each living thread has used and waited for.
        """
        none = tree.NEW_THREAD
        before = [self._threads.get(number, none) for number in threads]
        ran_s = sum(max(0.0, new.ran_s - old.ran_s) for new, old in zip(threads.values(), before))
        waited_s = sum(max(0.0, new.waited_s - old.waited_s) for new, old in zip(threads.values(), before))
        # Two counts of the same: one knows those that ended, the other has no steps. The first goes down when a
        # process ends that nobody waited for.
        demand_s = max(cpu_s - self._cpu_s, ran_s) + waited_s
        # How long a thread has waited is counted only when it gets a CPU at last, so one that still waits is looked at.
        is_runnable = any(thread.state == "R" for thread in threads.values())
        asleep = not is_runnable and demand_s < _ASLEEP_BELOW * (now - self._since)
        changed = asleep != self.asleep
        self.asleep, self._since, self._cpu_s, self._threads = asleep, now, cpu_s, threads
        return changed

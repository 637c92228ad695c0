"""The books of one client's credit: how many samples it may have with the server, and how many it has.

Credit that was granted cannot be called back: the contract has each answer return it. So it is granted by what was
needed at most: a client whose samples sleep gets one more for each that sleeps beyond what it was granted before, up
to a bound, and keeps it. What it sends beyond what can be placed waits in the queue.
"""

from __future__ import annotations


class Credit:
    """One client's credit.

    Args:
        first: What it is granted at first.
        most: What it may be granted in all.
    """

    def __init__(self, first: int, most: int) -> None:
        self.granted = first
        """How many samples the client may have here, unanswered."""
        self.used = 0
        """How many of them it has."""
        self.parked = 0
        """How many of those sleep."""
        self._first = first
        self._most = max(first, most)

    def use(self) -> bool:
        """Takes one for a sample; returns False, and takes none, when none is left."""
        if self.used >= self.granted:
            return False
        self.used += 1
        return True

    def give_back(self) -> None:
        """Gives back the one of a sample that is answered."""
        self.used -= 1

    def park(self) -> int:
        """Notes that a sample sleeps; returns how many more the client is granted for it."""
        self.parked += 1
        more = max(0, min(self._first + self.parked, self._most) - self.granted)
        self.granted += more
        return more

    def unpark(self) -> None:
        """Notes that a sample has woken up or ended."""
        self.parked -= 1

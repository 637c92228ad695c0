"""The seam between the server and whatever runs its cells.

A runtime owns workers of one or more environments. It knows nothing of gRPC, screening or verdicts: it turns a
sample into facts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox_server.model import Environment, Facts, Isolation, Sample, SyntaxFault, Wall

OnActivity = Callable[[bool], None]
"""Called with whether a sample's cell sleeps, each time that this changes. A cell that is new is awake."""


class Runtime(Protocol):
    """Runs samples in cells.

    A sample's own failure is never an exception: it is in the facts. Exceptions out of `run` are
    `errors.WorkerLostError` (the worker died under the sample: another attempt may succeed) and
    `asyncio.CancelledError` (the caller cancelled; the cell is dead when it comes out).
    """

    name: str
    """Its name on the command line and in outcomes, such as "local"."""
    isolations: frozenset[Isolation]
    """What it can put between a sample and everything else."""

    @property
    def serving(self) -> bool:
        """Whether samples can be run, now or after a restart of workers that is under way."""

    async def start(self) -> None:
        """Starts workers and tests their walls.

        Raises:
            errors.WallMissingError: A required wall does not stand.
            errors.WorkerStartError: A worker did not come up; the message says why and what to do.
        """

    async def run(self, sample: Sample, on_activity: OnActivity | None = None) -> Facts:
        """Runs a sample in a cell of its own and returns what became of it.

        Args:
            sample: What to run.
            on_activity: Told of the cell's activity. A runtime that cannot see it says nothing.
        """

    async def parse(self, source: str, environment: str) -> SyntaxFault | None:
        """Parses source with the environment's own Python, never executing it."""

    def describe(self) -> tuple[Sequence[Environment], Sequence[Wall]]:
        """Returns the environments and the walls of this runtime's workers."""

    async def stop(self) -> None:
        """Kills every cell and worker; nothing of them is left when it returns."""

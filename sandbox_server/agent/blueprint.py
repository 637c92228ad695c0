"""What every cell of a worker is built like. Decided once, at the agent's start, and never weakened afterwards."""

from __future__ import annotations

from typing import NamedTuple, Tuple


class Blueprint(NamedTuple):
    """How cells are built.

    `namespaces` false is the weak way: a supervised process with what needs no namespace. It is taken only when the
    server allows it.
    """

    namespaces: bool
    own_proc: bool
    cgroups: bool
    seccomp: bool
    private_folder: str
    """Without namespaces: a folder below which each cell gets its own working directory."""
    links: Tuple[Tuple[str, str], ...]
    """What lies where a cell's own places will be and must be shown again there: see `walls.root.build`."""

    @property
    def memory_source(self) -> str:
        """How a cell's memory is measured and bounded."""
        return "cgroup" if self.cgroups else "sampled"

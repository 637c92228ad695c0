"""What every cell of a worker is built like. Decided once, at the agent's start, and never weakened afterwards."""

from __future__ import annotations

from typing import NamedTuple, Tuple


class Blueprint(NamedTuple):
    """How cells are built.

    `namespaces` false is the weak way: a supervised process with what needs no namespace. It is taken only when the
    server allows it.
    """

    namespaces: bool
    file_view: bool
    """Whether cells have mount namespaces too, and so a file view of their own, built once for all their processes.

    Without (see `walls.namespaces.can_be_joined`) each process of a cell is the first one in its own namespaces, and
    the cell's files lie in a folder that others can see."""
    own_proc: bool
    cgroups: bool
    seccomp: bool
    data_limit: bool
    """Whether RLIMIT_DATA counts memory that is mapped, as Linux does since 4.7; else RLIMIT_AS has to do."""
    cell_ids: Tuple[int, int]
    """The uid and gid of cells outside all namespaces."""
    private_folder: str
    """Without file views: a folder below which each cell gets its own working directory."""
    links: Tuple[Tuple[str, str], ...]
    """What lies where a cell's own places will be and must be shown again there: see `walls.root.build`."""

    @property
    def memory_source(self) -> str:
        """How a cell's memory is measured and bounded."""
        return "cgroup" if self.cgroups else "sampled"

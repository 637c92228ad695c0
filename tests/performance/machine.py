"""On what, and beside what else, something was measured."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine of a measurement."""

    processor: str
    cpus: int
    memory_gib: float
    kernel: str
    python: str

    @classmethod
    def here(cls) -> Machine:
        """Returns this machine."""
        pages, page_bytes = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
        return cls(
            processor=_processor(),
            cpus=len(os.sched_getaffinity(0)),
            memory_gib=round(pages * page_bytes / (1 << 30), 1),
            kernel=platform.release(),
            python=platform.python_version(),
        )

    def __str__(self) -> str:
        return (
            f"{self.cpus} CPUs ({self.processor}), {self.memory_gib:g} GiB, Linux {self.kernel}, Python {self.python}"
        )


def load() -> tuple[float, int]:
    """Returns what else the machine does: its load over the last minute, and how many tasks run now.

    This process's own is one of them.
    """
    words = Path("/proc/loadavg").read_text(encoding="ascii").split()
    return float(words[0]), int(words[3].partition("/")[0])


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()

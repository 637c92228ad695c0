"""`cupel-sandbox doctor`: which walls stand on this machine, and what to do about those that do not."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from rich.table import Table

from sandbox_server.runtimes.local import LocalOptions, LocalRuntime

if TYPE_CHECKING:
    from sandbox_server.model import Environment, Wall

_REMEDIES = (
    (
        ("namespace", "user", "mount", "pid", "ipc", "uts", "network", "tmpfs", "root", "proc"),
        (
            "allow user namespaces: `sysctl kernel.unprivileged_userns_clone=1`, on Ubuntu also "
            "`kernel.apparmor_restrict_unprivileged_userns=0`. In a container: run it as root with "
            "SYS_ADMIN, or with systempaths=unconfined and a seccomp profile that allows unshare, mount and "
            "pivot_root"
        ),
    ),
    (
        ("memory", "cgroup"),
        "give the server a cgroup that it may write (systemd: Delegate=yes); until then memory is sampled",
    ),
    (("seccomp",), "use a kernel with CONFIG_SECCOMP_FILTER on x86_64 or aarch64"),
)
_NO_REMEDY = "see docs/threat-model.md; or accept what is missing with --allow-weak-isolation"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the doctor found."""

    environment: Environment
    walls: tuple[Wall, ...]
    memory_source: str

    @property
    def healthy(self) -> bool:
        """Whether all walls stand."""
        return bool(self.walls) and all(wall.standing for wall in self.walls)

    def as_mapping(self) -> dict[str, object]:
        """Returns it as `--json` prints it."""
        walls = [{**asdict(wall), "remedy": remedy(wall)} for wall in self.walls]
        return {
            "healthy": self.healthy,
            "environment": {**asdict(self.environment), "modules": sorted(self.environment.modules)},
            "memory_source": self.memory_source,
            "walls": walls,
        }


async def diagnose(options: LocalOptions) -> Diagnosis:
    """Starts a worker with whatever stands, and returns what it says.

    Raises:
        WorkerStartError: Not even a weak worker comes up.
    """
    runtime = LocalRuntime(options)
    try:
        await runtime.start()
        environments, walls = runtime.describe()
        return Diagnosis(environments[0], tuple(walls), runtime.memory_source.name.lower())
    finally:
        await runtime.stop()


def remedy(wall: Wall) -> str:
    """Returns what to do about a wall; empty when it stands."""
    if wall.standing:
        return ""
    for words, advice in _REMEDIES:
        if any(word in wall.name for word in words):
            return advice
    return _NO_REMEDY


def table(diagnosis: Diagnosis) -> Table:
    """Returns the walls as a table for a terminal."""
    shown = Table("wall", "", "how, or why not", "what to do", title_justify="left")
    for wall in diagnosis.walls:
        state = "[green]standing[/]" if wall.standing else "[bold red]missing[/]"
        # The details come from the worker: text, never markup.
        shown.add_row(wall.name, state, _plain(wall.detail), _plain(remedy(wall)))
    return shown


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text).replace("[", "\\[")

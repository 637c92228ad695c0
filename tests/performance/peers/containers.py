"""CPU time of a run's worker containers, from the kernel's account of each (cgroup).

They are the container engine's children and not the run's, so no parent of theirs that we know of has it.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import docker
from docker.errors import DockerException, NotFound
from requests.exceptions import RequestException

from sandbox_server.runtimes.docker import labels
from sandbox_server.runtimes.docker.reaper import Owner
from tests.performance.original import MeasurementError
from tests.performance.processes import family

if TYPE_CHECKING:
    from types import TracebackType

_CGROUPS = Path("/sys/fs/cgroup")
_READ_EACH_S = 0.1
_LISTED_EACH = 5
"""So many readings apart once there is one: the engine is asked less often, since it answers on the same CPUs."""


class ContainerTimes:
    """Watches a run's containers while a block lasts, and then knows how much CPU time they took.

    Containers belong to the run when the server that their label names is a child of it: others may have some on
    the same machine. What one used after it was last read, up to a tenth of a second before its end, is missing; so
    is the engine's own work.

    Args:
        process_id: The orchestrator.
    """

    def __init__(self, process_id: int) -> None:
        self._process_id = process_id
        self._accounts: dict[str, Path] = {}
        self._seconds: dict[str, float] = {}
        self._over = threading.Event()
        self._failed: Exception | None = None
        self._watching = threading.Thread(target=self._watch, name="container times", daemon=True)

    def __enter__(self) -> Self:
        self._watching.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._watching.join()

    @property
    def seconds(self) -> float:
        """CPU seconds of all of them.

        Raises:
            MeasurementError: The engine did not tell of them, or their accounts cannot be read here.
        """
        if self._failed is not None:
            raise MeasurementError(f"the CPU time of containers cannot be told: {self._failed}") from self._failed
        if not self._seconds:
            raise MeasurementError(
                "the CPU time of containers cannot be told: none was seen: the engine's are not on this machine, "
                "or they were gone at once, and more problems would do"
            )
        return sum(self._seconds.values())

    def _watch(self) -> None:
        try:
            client = docker.from_env()
            try:
                turn = 0
                while not self._over.wait(_READ_EACH_S):
                    if turn % _LISTED_EACH == 0 or not self._accounts:
                        self._find(client.api)
                    turn += 1
                    self._read()
            finally:
                client.close()
        except (DockerException, RequestException, OSError, ValueError) as error:
            self._failed = error  # told where the figure is asked for

    def _find(self, engine: Any) -> None:
        servers = set(family(self._process_id).server)
        for listed in engine.containers(filters={"label": labels.WORKER}):
            name, owner = listed["Id"], Owner.of(listed["Labels"].get(labels.SERVER, ""))
            if name in self._accounts or owner is None or owner.pid not in servers:
                continue
            try:
                first = engine.inspect_container(name)["State"]["Pid"]
                text = Path(f"/proc/{first}/cgroup").read_text(encoding="utf-8")
            except (NotFound, FileNotFoundError, ProcessLookupError):
                continue  # it ended between the two questions
            account = account_of(text, name, _CGROUPS)
            if account is not None:
                self._accounts[name] = account

    def _read(self) -> None:
        for name, account in self._accounts.items():
            try:
                text = account.read_text(encoding="ascii")
            except OSError:  # gone with its container; what was read last stays
                continue
            self._seconds[name] = seconds_of(text)


def account_of(memberships: str, container: str, mounted: Path) -> Path | None:
    """Returns the file with a container's CPU time.

    Args:
        memberships: What /proc/PID/cgroup says of a process of the container.
        container: The container's id, which is in the name of its group.
        mounted: Where the hierarchies are.

    Returns:
        `cpuacct.usage` (version 1) or `cpu.stat` (version 2); None where the process is not in such a group.
    """
    for line in memberships.splitlines():
        _, controllers, path = line.split(":", 2)
        folder = _folder(path, container)
        if folder is None:
            continue
        if "cpuacct" in controllers.split(","):
            for name in (controllers, "cpuacct", "cpu,cpuacct"):
                account = mounted / name / folder / "cpuacct.usage"
                if account.exists():
                    return account
        if not controllers and (mounted / folder / "cpu.stat").exists():
            return mounted / folder / "cpu.stat"
    return None


def seconds_of(account: str) -> float:
    """Returns the CPU seconds that an account has: nanoseconds (version 1), or a line with microseconds (version 2)."""
    for line in account.splitlines():
        name, _, value = line.partition(" ")
        if name == "usage_usec":
            return int(value) / 1e6
    return int(account) / 1e9


def _folder(path: str, container: str) -> str | None:
    """Returns the path of the container's own group; its process may be in one below."""
    parts = path.strip("/").split("/")
    for place, part in enumerate(parts):
        if container in part:
            return "/".join(parts[: place + 1])
    return None

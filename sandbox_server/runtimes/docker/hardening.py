"""What a worker's container may do: nothing but what building cells needs. Pure.

The container is the second wall. A sample that breaks out of its cell is still in a container without network, without
capabilities, with a read-only file system, a filter for system calls and a bound on memory and processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox_server.runtimes.docker import labels
from sandbox_server.runtimes.worker import ENVIRONMENT

if TYPE_CHECKING:
    from sandbox_server.runtimes.docker.engine import EngineFacts

USER = "1000:1000"
AGENT = "/opt/cupel/agent/launch.py"
_TMP_BYTES = 64 << 20
_SHM_BYTES = 1 << 20
_KERNEL_OF_ITS_OWN = "runsc"
_TO_MAKE_CELLS_ANOTHER_USER = ("DAC_OVERRIDE", "KILL", "SETGID", "SETUID")
"""What an agent under gVisor needs to keep cells off its own descriptors (docs/isolation.md).

Root and its capabilities are those of gVisor's kernel, a process that has none on the machine."""
_PROFILE = Path("seccomp") / "worker.json"
_HERE = Path(__file__).resolve()
# In a wheel the folder is inside the package; in a checkout it is the repository's.
_FOLDERS = (_HERE.parents[2] / "deploy", _HERE.parents[3] / "deploy")


@dataclass(frozen=True, slots=True)
class Shape:
    """How a kind of worker's containers are to be."""

    purpose: str
    """Written on each container: "cells" or "single-use"."""
    memory_bytes: int
    """Memory of the whole container."""
    processes: int
    """Processes and threads of the whole container."""
    oci_runtime: str = ""
    """What the engine starts it with, such as "runc" or "runsc"; empty is the engine's default."""


@dataclass(frozen=True, slots=True)
class Container:
    """A container to create, in the words of the engine's API."""

    config: dict[str, Any]
    host_config: dict[str, Any]
    bare: dict[str, Any]
    """Fields of the API's HostConfig that the SDK has no words for."""


def worker_container(image: str, interpreter: str, server: str, shape: Shape, engine: EngineFacts) -> Container:
    """Returns the container of a worker.

    Args:
        image: The image, by digest.
        interpreter: The path of the environment's Python in it.
        server: Which server it belongs to.
        shape: How it is to be.
        engine: Where it will run.
    """
    security = [
        "no-new-privileges",
        f"seccomp={seccomp_profile()}",
    ]
    if engine.apparmor:
        # AppArmor's profile for containers forbids every mount, also in a user namespace.
        security.append("apparmor=unconfined")
    config = {
        "image": image,
        "entrypoint": [interpreter, "-s", "-B", AGENT],
        "command": [],
        "user": USER,
        "hostname": "worker",
        "working_dir": "/",
        "environment": dict(ENVIRONMENT),
        "stdin_open": True,  # and closed with the connection: an agent whose server died ends
        "labels": {labels.WORKER: shape.purpose, labels.SERVER: server},
    }
    host_config = {
        "auto_remove": True,
        "network_mode": "none",
        "ipc_mode": "private",
        "cap_drop": ["ALL"],
        "security_opt": security,
        "read_only": True,
        "tmpfs": {"/tmp": f"rw,nosuid,nodev,noexec,size={_TMP_BYTES},mode=1777"},  # noqa: S108 -- in the container
        "shm_size": _SHM_BYTES,
        "mem_limit": shape.memory_bytes,
        "memswap_limit": shape.memory_bytes,
        "pids_limit": shape.processes,
        "ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}],
        # What agents say goes over the connection; the engine must not keep a copy of it on its disk.
        "log_config": {"Type": "none", "Config": {}},
    }
    if shape.oci_runtime:
        host_config["runtime"] = shape.oci_runtime
    if _KERNEL_OF_ITS_OWN in shape.oci_runtime:
        config["user"] = "0:0"
        host_config["cap_add"] = list(_TO_MAKE_CELLS_ANOTHER_USER)
    # Docker covers parts of /proc, and where parts are covered the kernel refuses cells a /proc of their own. The
    # container is as unprivileged as before: what these files allow, they allow to root alone. The command line calls
    # this systempaths=unconfined.
    bare: dict[str, Any] = {"MaskedPaths": [], "ReadonlyPaths": []}
    return Container(config, host_config, bare)


def seccomp_profile() -> str:
    """Returns the filter for system calls, as JSON."""
    for folder in _FOLDERS:
        path = folder / _PROFILE
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise FileNotFoundError(f"{_PROFILE} is in none of {', '.join(map(str, _FOLDERS))}: the installation is damaged")

"""The ways to build a runtime that the conformance suite runs against. Another runtime is one more line in WAYS."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sandbox_server
from sandbox_server.images.digest import agent_digest
from sandbox_server.model import Isolation
from sandbox_server.runtimes.agent_link import Hello
from sandbox_server.runtimes.docker.runtime import DockerOptions, DockerRuntime
from sandbox_server.runtimes.local import LocalOptions, LocalRuntime
from sandbox_server.runtimes.pool import PoolPolicy
from tests.engine import engine_facts

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_server.runtimes.base import Runtime

_AGENT = Path(sandbox_server.__file__).parent / "agent"
SYSTEM_PYTHON = Path("/usr/bin/python3")
NOBODY = 65534
FILE_VIEW = frozenset({"mount_namespace", "private_filesystem", "own_proc"})
REACHED = frozenset({"agent_out_of_reach"})
NAMESPACES = frozenset({"user_namespace", "pid_namespace", "network_namespace", "ipc_namespace", "uts_namespace"})

# Refuses what the cells' own filter refuses, namespaces among it, and becomes the interpreter.
_WITHOUT_NAMESPACES = """#!{python} -sB
import os, sys
sys.path.insert(0, {folder!r})
from agent.walls import seccomp, syscalls
syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
program, memory = seccomp.compiled(sampled=False)
seccomp.install(program)
os.execv({python!r}, [{python!r}, *sys.argv[1:]])
"""
_AS_NOBODY = """#!/bin/sh
exec setpriv --reuid {user} --regid {user} --clear-groups {python} "$@"
"""


@dataclass(frozen=True)
class Way:
    """A way to build a runtime.

    Attributes:
        name: What tests are called by.
        walled: Whether every wall is to stand; without, only what needs no namespace is asked of it.
        build: Makes the runtime, given a folder that every user may read.
        unavailable: Says why it cannot be built here; empty when it can.
        environment: What samples name.
        isolation: What samples ask for.
        engine: Whether it needs a Docker engine.
        own_kernel: Whether its processes are not the machine's, but those of a kernel of their own.
        missing: The walls of its workers that do not stand; all others have to.
    """

    name: str
    walled: bool
    build: Callable[[Path], Runtime]
    unavailable: Callable[[], str] = lambda: ""
    environment: str = "local"
    isolation: Isolation = Isolation.CELL
    engine: bool = False
    own_kernel: bool = False
    missing: frozenset[str] = frozenset()


def agent_copy(folder: Path) -> Path:
    """Copies the agent to where every user may read it, and returns what starts it."""
    copied = folder / "agent"
    if not copied.exists():
        shutil.copytree(_AGENT, copied, ignore=shutil.ignore_patterns("__pycache__"))
        for path in [folder, *folder.rglob("*")]:
            path.chmod(path.stat().st_mode | stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0))
    return copied / "launch.py"


def interpreter(folder: Path, name: str, text: str) -> Path:
    """Writes a program that becomes a Python."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def without_namespaces(folder: Path) -> Path:
    """Makes an interpreter that is forbidden every namespace."""
    python = str(SYSTEM_PYTHON if SYSTEM_PYTHON.exists() else Path(sys.executable))
    agent_copy(folder)
    text = _WITHOUT_NAMESPACES.format(python=python, folder=str(folder))
    return interpreter(folder, "without-namespaces", text)


def options(**fields: Any) -> LocalOptions:
    """Returns options of a runtime that starts fast."""
    return LocalOptions(**{"python": Path(sys.executable), "cells": 4, **fields})


def _as_is(_: Path) -> LocalRuntime:
    return LocalRuntime(options())


def _as_nobody(folder: Path) -> LocalRuntime:
    wrapper = interpreter(folder, "as-nobody", _AS_NOBODY.format(user=NOBODY, python=SYSTEM_PYTHON))
    return LocalRuntime(options(python=wrapper, launcher=agent_copy(folder)))


def _weak(folder: Path) -> LocalRuntime:
    launcher = agent_copy(folder)
    return LocalRuntime(options(python=without_namespaces(folder), launcher=launcher, allow_weak_isolation=True))


def _cannot_become_nobody() -> str:
    if os.geteuid() != 0:
        return "not root, so the first way is the ordinary user's already"
    if not SYSTEM_PYTHON.exists() or shutil.which("setpriv") is None:
        return "there is no /usr/bin/python3 or no setpriv to become an ordinary user with"
    return ""


def docker_options(**fields: Any) -> DockerOptions:
    """Returns options of a docker runtime of the lean image."""
    policy = PoolPolicy(hello=Hello(cells=4), restart_pause_s=0.1)
    return DockerOptions(**{"agent_digest": agent_digest(), "environments": ("python",), "policy": policy, **fields})


def _docker(_: Path) -> DockerRuntime:
    return DockerRuntime(docker_options())


def _gvisor(_: Path) -> DockerRuntime:
    weak = PoolPolicy(hello=Hello(cells=4, allow_weak=True), restart_pause_s=0.1)
    return DockerRuntime(docker_options(oci_runtime="runsc", policy=weak))


def _gvisor_single(_: Path) -> DockerRuntime:
    return DockerRuntime(docker_options(single_oci_runtime="runsc"))


def _no_gvisor() -> str:
    facts = engine_facts()
    if isinstance(facts, str) or "runsc" in facts.runtimes:
        return ""
    return "the engine has no OCI runtime runsc"


LOCAL_WAYS = (
    Way("as-is", True, _as_is),
    Way("ordinary-user", True, _as_nobody, _cannot_become_nobody),
    Way("without-namespaces", False, _weak, missing=NAMESPACES | FILE_VIEW | REACHED),
)
DOCKER_WAYS = (
    Way("docker", True, _docker, environment="python", engine=True),
    Way("docker-single", True, _docker, environment="python", isolation=Isolation.CONTAINER, engine=True),
    Way(
        "docker-runsc", False, _gvisor, _no_gvisor, environment="python", engine=True, own_kernel=True,
        missing=FILE_VIEW,
    ),
    Way(
        "docker-runsc-single", False, _gvisor_single, _no_gvisor, environment="python",
        isolation=Isolation.CONTAINER, engine=True, own_kernel=True,
    ),
)  # fmt: skip
WAYS = LOCAL_WAYS + DOCKER_WAYS

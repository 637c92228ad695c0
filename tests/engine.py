"""What tests of containers need: a Docker engine, and images that hold this checkout's agent."""

from __future__ import annotations

import asyncio
import functools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from sandbox_server.errors import WorkerError
from sandbox_server.images.digest import agent_digest
from sandbox_server.runtimes.docker.engine import Engine, EngineFacts
from sandbox_server.runtimes.docker.runtime import DockerOptions, chosen

if TYPE_CHECKING:
    from collections.abc import Coroutine

_Result = TypeVar("_Result")
LEFT_OUT = "containers cannot be tested here"


@functools.cache
def engine_facts() -> EngineFacts | str:
    """Returns what the engine says of itself, or why there is none."""

    async def ask() -> EngineFacts | str:
        engine = Engine(timeout_s=10)
        try:
            return await engine.facts()
        except WorkerError as error:
            return str(error)
        finally:
            await engine.close()

    return _run(ask())


@functools.cache
def missing_image(environment: str) -> str:
    """Returns why an environment's image cannot be used; empty when it can."""

    async def look() -> str:
        engine = Engine(timeout_s=10)
        try:
            chosen(await engine.images(), DockerOptions(agent_digest(), (environment,)))
        except WorkerError as error:
            return str(error)
        finally:
            await engine.close()
        return ""

    return _run(look())


def _run(coroutine: Coroutine[Any, Any, _Result]) -> _Result:
    """Runs a coroutine in a loop of its own, also while another one runs in this thread."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def leave_out_without_engine(*environments: str) -> None:
    """Leaves the running test out without an engine or images; in CI, where both have to be there, fails it."""
    facts = engine_facts()
    reason = facts if isinstance(facts, str) else next(filter(None, map(missing_image, environments)), "")
    if not reason:
        return
    if os.environ.get("CI"):
        pytest.fail(f"{LEFT_OUT}: {reason}; in CI they have to be", pytrace=False)
    pytest.skip(f"{LEFT_OUT}: {reason}")

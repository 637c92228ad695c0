"""A runtime tells when a cell sleeps and when it is awake again, by what the whole cell asks of the CPUs."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from sandbox_server.model import ScriptTask

if TYPE_CHECKING:
    from tests.contract.conftest import Bench

pytestmark = pytest.mark.asyncio(loop_scope="module")

BURN = """
import time
def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end: pass
"""


async def activity(bench: Bench, source: str) -> list[bool]:
    """Runs a program to its end; returns what was told of it."""
    told: list[bool] = []
    facts = await bench.runtime.run(bench.sample(ScriptTask(BURN + source)), told.append)
    assert facts.exit_code == 0, (facts.error, facts.stderr.head, facts.limit)
    return told


async def until_asleep(bench: Bench, source: str) -> None:
    """Runs a program until it is said to sleep, and kills it."""
    asleep = asyncio.Event()
    task = asyncio.create_task(bench.runtime.run(bench.sample(ScriptTask(BURN + source)), lambda _: asleep.set()))
    await asleep.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("time.sleep(50)", id="from the first moment"),
        pytest.param("burn(0.5)\ntime.sleep(50)", id="after work"),
        pytest.param("while True: time.sleep(0.05)", id="in naps"),
        pytest.param(
            "import threading\nfor _ in range(3): threading.Thread(target=time.sleep, args=(50,)).start()", id="threads"
        ),
        pytest.param("import os\nif os.fork(): os.wait()\nelse: time.sleep(50)", id="parent and child"),
    ],
)
async def test_a_cell_that_sleeps_is_told(bench: Bench, source: str) -> None:
    await until_asleep(bench, source)


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("burn(1)", id="alone"),
        pytest.param("import threading\nthread = threading.Thread(target=burn, args=(1,))\n"
                     "thread.start()\nthread.join()", id="in a thread"),
        pytest.param("import os\nif os.fork(): os.wait()\nelse:\n    burn(1)\n    os._exit(0)", id="in a child"),
    ],
)  # fmt: skip
async def test_a_busy_cell_is_never_said_to_sleep(bench: Bench, source: str) -> None:
    assert await activity(bench, source) == []


async def test_busy_cells_that_starve_each_other_are_not_said_to_sleep(bench: Bench) -> None:
    told = await asyncio.gather(*(activity(bench, "burn(0.5)") for _ in range(12)))
    assert told == [[]] * 12


async def test_a_cell_that_wakes_up_is_told(bench: Bench) -> None:
    told = await activity(bench, "time.sleep(2)\nburn(1)")
    assert told == [True, False]

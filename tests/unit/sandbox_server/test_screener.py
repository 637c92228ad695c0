import asyncio
import os
import platform
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from sandbox_server.model import Environment, Limits, Sample, Screening, ScriptTask, SyntaxFault, Task
from sandbox_server.runtimes.simulated import SimulatedRuntime
from sandbox_server.screener import Screener

FINE = Screening(None, entry_point_found=True, findings=(), declared_tests=None)
LARGE = 100


def source_of(task: Task) -> str:
    assert isinstance(task, ScriptTask)
    return task.source


def look(task: Task) -> Screening:
    """Obeys the first word of a source, and tells in which process it ran."""
    word = source_of(task).split()[0]
    if word == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "sleep":
        time.sleep(1000)
    return replace(FINE, declared_tests=(str(os.getpid()),))


def sample(word: str, *, large: bool = False) -> Sample:
    return Sample("s", ScriptTask(word + " " * (LARGE if large else 1)), Limits(), environment="local")


async def screened(screener: Screener, sample: Sample) -> Screening:
    return (await screener.screen(sample))[1]


@pytest.fixture
async def screener() -> AsyncIterator[Screener]:
    screener = Screener(SimulatedRuntime(), look=look, inline_characters=LARGE, patience_s=20)
    yield screener
    screener.close()


def process_of(screening: Screening) -> int:
    assert screening.declared_tests is not None
    return int(screening.declared_tests[0])


async def test_screens_small_sources_here_and_large_ones_elsewhere(screener: Screener) -> None:
    assert process_of(await screened(screener, sample("a"))) == os.getpid()
    apart = process_of(await screened(screener, sample("a", large=True)))
    assert apart != os.getpid()
    assert process_of(await screened(screener, sample("b", large=True))) == apart


async def test_a_source_that_crashes_the_parser_is_a_syntax_fault(screener: Screener) -> None:
    fault = (await screened(screener, sample("die", large=True))).syntax_fault
    assert fault is not None
    assert "crashes" in fault.message
    assert (await screened(screener, sample("a", large=True))).syntax_fault is None


async def test_a_process_that_something_else_killed_condemns_no_sample(screener: Screener) -> None:
    os.kill(process_of(await screened(screener, sample("a", large=True))), signal.SIGKILL)
    assert (await screened(screener, sample("a", large=True))).syntax_fault is None


async def test_a_parse_that_takes_too_long_is_ended() -> None:
    screener = Screener(SimulatedRuntime(), look=look, inline_characters=LARGE, patience_s=0.5)
    fault = (await screened(screener, sample("sleep", large=True))).syntax_fault
    assert fault is not None
    assert "0.5 s" in fault.message
    screener.close()


async def test_cancelling_ends_the_parse(screener: Screener) -> None:
    await screener.screen(sample("a", large=True))
    waiting = asyncio.create_task(screener.screen(sample("sleep", large=True)))
    await asyncio.sleep(0.05)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (await screened(screener, sample("a", large=True))).syntax_fault is None


class OtherPython(SimulatedRuntime):
    """A runtime whose environment has another Python than the server."""

    def __init__(self, fault: SyntaxFault | None) -> None:
        super().__init__()
        self._fault = fault

    def describe(self) -> Any:
        return (Environment("local", "d", "3.99.1"),), ()

    async def parse(self, source: str, environment: str) -> SyntaxFault | None:
        del source, environment
        return self._fault


async def test_the_environments_own_grammar_decides() -> None:
    broken = replace(FINE, syntax_fault=SyntaxFault("here"), entry_point_found=False)
    there = SyntaxFault("there", 1, 1)
    for fault, seen_here, expected in (
        (there, FINE, replace(FINE, syntax_fault=there)),
        (there, broken, replace(broken, syntax_fault=there)),
        (None, broken, FINE),
        (None, FINE, FINE),
    ):
        screener = Screener(OtherPython(fault), look=lambda _task, seen=seen_here: seen)
        assert await screened(screener, sample("a")) == expected


SMALL = Environment("small", "d", platform.python_version())
LARGE_ONE = Environment("large", "d", platform.python_version(), packages={"numpy": "1"}, modules=frozenset({"numpy"}))


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(
    ("source", "environment"),
    [("import numpy", "large"), ("import os", "small"), ("import nowhere", "small"), ("import numpy )", "small")],
)
async def test_a_sample_without_an_environment_gets_the_one_that_its_imports_need(
    source: str,
    environment: str,
    large: bool,  # noqa: FBT001 -- a case's own
) -> None:
    runtime = SimulatedRuntime(environments=(LARGE_ONE, SMALL))
    screener = Screener(runtime, environment="small", inline_characters=5 if large else 1000)
    placed, screening = await screener.screen(Sample("s", ScriptTask(source), Limits()))
    assert placed.environment == environment
    assert (screening.imports is None) is source.endswith(")")
    screener.close()


async def test_a_sample_with_an_environment_keeps_it_and_nobody_looks_at_its_imports() -> None:
    screener = Screener(SimulatedRuntime(environments=(LARGE_ONE, SMALL)), environment="small")
    placed, screening = await screener.screen(Sample("s", ScriptTask("import numpy"), Limits(), environment="small"))
    assert (placed.environment, screening.imports) == ("small", None)


async def test_the_grammar_is_that_of_the_environment_that_was_chosen() -> None:
    class Old(SimulatedRuntime):
        async def parse(self, source: str, environment: str) -> SyntaxFault | None:
            return SyntaxFault(f"{environment}: {source}")

    old = replace(LARGE_ONE, python_version="3.8.1")
    screener = Screener(Old(environments=(old, SMALL)))
    _, screening = await screener.screen(Sample("s", ScriptTask("import numpy"), Limits()))
    assert screening.syntax_fault == SyntaxFault("large: import numpy")
    _, screening = await screener.screen(Sample("s", ScriptTask("import os"), Limits()))
    assert screening.syntax_fault is None

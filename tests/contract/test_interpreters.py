"""The agent under every CPython of this machine: all four task kinds, judged alike from 3.8 on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox_server.model import (
    FunctionCheckTask,
    ScriptTask,
    Stage,
    StdioCase,
    StdioTask,
    TestStatus,
    UnittestTask,
)
from sandbox_server.runtimes.local import LocalRuntime
from tests.contract.conftest import Bench
from tests.contract.ways import LOCAL_WAYS, options

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSIONS = [f"3.{minor}" for minor in range(8, 15)]
PASSED, FAILED = TestStatus.PASSED, TestStatus.FAILED
TESTS = """
import unittest
class TestCases(unittest.TestCase):
    def test_a(self):
        self.assertEqual(f(1), 2)
    def test_b(self):
        with self.subTest("inner"):
            self.assertEqual(f(2), 3)
"""


def candidates(version: str) -> Iterator[Path]:
    yield from sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}"), reverse=True)
    found = shutil.which(f"python{version}")
    if found is not None:
        yield Path(found)


def interpreter(version: str) -> Path | None:
    """An interpreter of a version that really starts as such: a version manager's shims need not."""
    for path in candidates(version):
        done = subprocess.run(
            [path, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        if done.stdout.strip() == version:
            return path
    return None


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.walls
async def test_every_kind_on_every_interpreter(version: str) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no python{version} here")
    runtime = LocalRuntime(options(python=python))
    await runtime.start()
    bench = Bench(runtime, LOCAL_WAYS[0])
    try:
        (environment,), walls = runtime.describe()
        assert environment.python_version.startswith(f"{version}.")
        assert [wall.name for wall in walls if not wall.standing] == []
        for solution, second in (
            ("def f(x): return x + 1\n", PASSED),
            ("def f(x): return 2\n", FAILED),
        ):
            facts = await bench.run(UnittestTask(solution, TESTS, entry_point="f"))
            assert facts.stage is Stage.COMPLETE
            assert [result.status for result in facts.results] == [PASSED, second]
            assert facts.tampering == facts.integrity == ()
            check = "def check(candidate):\n    assert candidate(2) == 3\n"
            facts = await bench.run(FunctionCheckTask(solution, "f", check))
            assert [result.status for result in facts.results] == [second]
            assert facts.stage is Stage.COMPLETE
            assert facts.tampering == facts.integrity == ()
        case = StdioCase(b"1\n", b"2\n")
        facts = await bench.run(StdioTask("print(int(input()) + 1)", (case, case)))
        assert [result.status for result in facts.results] == [PASSED, PASSED]
        facts = await bench.run(StdioTask("print(3)", (case,)))
        assert [result.status for result in facts.results] == [TestStatus.WRONG_OUTPUT]
        assert (await bench.run(ScriptTask("import sys; print(sys.version_info[:2])"))).exit_code == 0
        facts = await bench.script("raise ValueError('no')")
        assert facts.error is not None
        assert (facts.exit_code, facts.error.type_name) == (1, "ValueError")
        assert (await bench.script("import os; os._exit(3)")).exit_code == 3
        fault = await runtime.parse("def f(:\n", environment.name)
        assert fault is not None
    finally:
        await runtime.stop()


def test_the_version_that_runs_the_tests_is_found() -> None:
    assert interpreter(f"3.{sys.version_info.minor}") is not None

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from sandbox_server.model import Limits, Sample, ScriptTask
from tests.conftest import leave_out_without
from tests.contract.ways import WAYS, Way
from tests.engine import leave_out_without_engine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sandbox_server.model import Facts, Task
    from sandbox_server.runtimes.base import Runtime

SMALL = {
    "cpu_time": timedelta(seconds=10),
    "wall_time": timedelta(seconds=60),
    "memory_bytes": 256 << 20,
    "processes": 16,
    "output_bytes": 4 << 20,
    "captured_bytes": 4096,
    "disk_bytes": 16 << 20,
    "file_size_bytes": 8 << 20,
    "open_files": 64,
}


class Bench:
    """A runtime under test, with the way in which it was built."""

    def __init__(self, runtime: Runtime, way: Way) -> None:
        self.runtime = runtime
        self.way = way

    async def run(self, task: Task, seed: int = 0, env: dict[str, str] | None = None, **limits: Any) -> Facts:
        """Runs a task under small limits; a fault of the runtime is never what a test asks for."""
        facts = await self.runtime.run(self.sample(task, seed, env, **limits))
        assert facts.sandbox_fault is None, facts.sandbox_fault
        return facts

    def sample(self, task: Task, seed: int = 0, env: dict[str, str] | None = None, **limits: Any) -> Sample:
        """Returns a sample for this runtime, under small limits."""
        asked = replace(sample(task, seed, env, **limits), environment=self.way.environment)
        return replace(asked, isolation=self.way.isolation)

    async def script(self, source: str, **limits: Any) -> Facts:
        """Runs a program as a script."""
        return await self.run(ScriptTask(source), **limits)

    async def printed(self, source: str, **more: Any) -> str:
        """Runs a program that must end well, and returns what it wrote."""
        facts = await self.run(ScriptTask(source), **more)
        assert facts.exit_code == 0, (facts.error, facts.stderr.head, facts.limit)
        return facts.stdout.head.decode()


def sample(task: Task, seed: int = 0, env: dict[str, str] | None = None, **limits: Any) -> Sample:
    return Sample(
        sample_id="sample",
        task=task,
        limits=Limits(**{**SMALL, **limits}),
        seed=seed,
        environment_variables=tuple((env or {}).items()),
    )


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter: pytest's own are not."""
    path = Path(tempfile.mkdtemp(prefix="contract-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=WAYS, ids=[one.name for one in WAYS])
async def bench(request: pytest.FixtureRequest, open_folder: Path) -> AsyncIterator[Bench]:
    way: Way = request.param
    leave_out_if_unavailable(way)
    runtime = way.build(open_folder)
    await runtime.start()
    yield Bench(runtime, way)
    await runtime.stop()


def leave_out_if_unavailable(way: Way) -> None:
    """Leaves the running test out where a way cannot be gone."""
    if way.engine:
        leave_out_without_engine(way.environment)
    elif way.walled:
        leave_out_without()
    if way.unavailable():
        pytest.skip(way.unavailable())


@pytest.fixture
def walled(bench: Bench) -> Bench:
    """The bench, for what only namespaces give."""
    if not bench.way.walled:
        pytest.skip("asks for what weak isolation does not promise")
    return bench

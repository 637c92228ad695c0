"""Two real environments behind one server: a sample runs where its imports are, and is told where they are not."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import grpc.aio
import pytest
import pytest_asyncio
from cupel_client.gen import sandbox_service_pb2 as pb
from cupel_client.gen import sandbox_service_pb2_grpc as pb_grpc

from sandbox_server.config import Settings
from sandbox_server.life import running
from sandbox_server.runtimes.local import LocalRuntime
from tests.contract.ways import options

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from sandbox_server.model import Environment, Facts, Sample, SyntaxFault, Wall
    from sandbox_server.runtimes.base import OnActivity


class Several:
    """A runtime of several others, each with the environment of its name."""

    name = "several"
    isolations = LocalRuntime.isolations

    def __init__(self, **runtimes: LocalRuntime) -> None:
        self._runtimes = runtimes

    @property
    def serving(self) -> bool:
        return all(one.serving for one in self._runtimes.values())

    async def start(self) -> None:
        for one in self._runtimes.values():
            await one.start()

    async def run(self, sample: Sample, on_activity: OnActivity | None = None) -> Facts:
        return await self._runtimes[sample.environment].run(sample, on_activity)

    async def parse(self, source: str, environment: str) -> SyntaxFault | None:
        return await self._runtimes[environment].parse(source, environment)

    def describe(self) -> tuple[Sequence[Environment], Sequence[Wall]]:
        described = [one.describe() for one in self._runtimes.values()]
        return [each for environments, _ in described for each in environments], described[0][1]

    async def stop(self) -> None:
        for one in self._runtimes.values():
            await one.stop()


@pytest.fixture(scope="module")
def bare(open_folder: Path) -> Path:
    """An environment with nothing but a module of its own."""
    folder = open_folder / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    module = next((folder / "lib").glob("python*/site-packages")) / "only_there.py"
    module.write_text("FOUND = True\n")
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stub(open_folder: Path, bare: Path) -> AsyncIterator[Any]:
    weak: dict[str, Any] = {"allow_weak_isolation": True}
    runtime = Several(
        full=LocalRuntime(options(environment="full", **weak)),
        bare=LocalRuntime(options(environment="bare", python=bare / "bin" / "python", **weak)),
    )
    settings = Settings(slots=2, environment="full", listen=(f"unix:{open_folder}/environments.sock",))
    async with (
        running(settings, runtime) as (_, addresses),
        grpc.aio.insecure_channel(addresses[0]) as channel,
    ):
        yield pb_grpc.SandboxServiceStub(channel)


async def judge(stub: Any, source: str, **fields: Any) -> Any:
    sample = pb.Sample(sample_id="s", script=pb.ScriptTask(source=source), **fields)
    return (await stub.ExecuteOne(pb.ExecuteOneRequest(sample=sample))).outcome


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("source", "environment"),
    [
        ("import json", "bare"),
        ("import numpy; numpy.zeros(1)", "full"),
        ("import only_there; assert only_there.FOUND", "bare"),
    ],
)
async def test_a_sample_runs_where_what_it_imports_is(stub: Any, source: str, environment: str) -> None:
    outcome = await judge(stub, source)
    assert (outcome.verdict, outcome.environment) == (pb.VERDICT_PASSED, environment), outcome.explanation
    assert outcome.environment_digest.startswith("sha256:")


@pytest.mark.asyncio(loop_scope="module")
async def test_environments_tell_what_is_installed_in_them(stub: Any) -> None:
    capabilities = await stub.GetCapabilities(pb.GetCapabilitiesRequest())
    full, bare = capabilities.environments
    assert {"numpy", "pytest", "grpcio"} <= {one.name for one in full.packages}
    assert list(bare.packages) == []
    assert full.digest != bare.digest


@pytest.mark.asyncio(loop_scope="module")
async def test_a_module_that_is_nowhere_is_missing_in_the_default(stub: Any) -> None:
    outcome = await judge(stub, "import cv2")
    assert (outcome.verdict, outcome.environment) == (pb.VERDICT_IMPORT_MISSING, "full")
    assert "The environment 'full' lacks 'cv2'." in outcome.explanation
    assert (
        "`cupel-sandbox images build --from full --packages opencv-python-headless --name my-full`"
        in outcome.explanation
    )


@pytest.mark.asyncio(loop_scope="module")
async def test_a_named_environment_is_kept_though_it_lacks_something(stub: Any) -> None:
    outcome = await judge(stub, "import numpy", environment="bare")
    assert (outcome.verdict, outcome.environment) == (pb.VERDICT_IMPORT_MISSING, "bare")
    assert "The environment 'bare' lacks 'numpy'." in outcome.explanation


@pytest.mark.asyncio(loop_scope="module")
async def test_a_wish_is_no_need(stub: Any) -> None:
    source = "try:\n    import numpy\nexcept ImportError:\n    numpy = None\nassert numpy is None"
    outcome = await judge(stub, source)
    assert (outcome.verdict, outcome.environment) == (pb.VERDICT_PASSED, "bare")


@pytest.mark.asyncio(loop_scope="module")
async def test_declared_packages_are_looked_for_before_anything_runs(stub: Any) -> None:
    wanted = [pb.PackageRequirement(module="numpy", versions=">=1")]
    outcome = await judge(stub, "import only_there", packages=wanted)
    assert (outcome.verdict, outcome.environment) == (pb.VERDICT_IMPORT_MISSING, "full")
    with pytest.raises(grpc.aio.AioRpcError, match="'full' is nearest and lacks nowhere"):
        await judge(stub, "pass", packages=[*wanted, pb.PackageRequirement(package="nowhere")])

"""Which environment a sample gets, and what a server says that has none for it: over gRPC, by invented environments."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from cupel_client.gen import sandbox_service_pb2 as pb

from sandbox_server.model import Environment
from sandbox_server.runtimes.simulated import Fate, SimulatedRuntime
from tests.integration.server.test_execute import error_info, function

VERSION = "3.11.7"
SCIENTIFIC = Environment(
    "scientific",
    "sha256:s",
    VERSION,
    packages={"numpy": "1.26.4", "scikit-learn": "1.5.0"},
    modules=frozenset({"numpy", "sklearn"}),
)
PYTHON = Environment("python", "sha256:p", VERSION)


@pytest.fixture
async def site(serve: Any) -> AsyncIterator[Any]:
    runtime = SimulatedRuntime([Fate.PASS], environments=(SCIENTIFIC, PYTHON))
    async with serve(runtime, environment="python") as site:
        yield site


def package(module: str = "", name: str = "", versions: str = "") -> pb.PackageRequirement:
    return pb.PackageRequirement(module=module, package=name, versions=versions)


@pytest.mark.parametrize(
    ("fields", "environment"),
    [
        ({}, "python"),
        ({"environment": "scientific"}, "scientific"),
        ({"function_check": function(solution="def f():\n    import numpy")}, "scientific"),
        ({"function_check": function(check="import sklearn\ndef check(f): pass")}, "scientific"),
        ({"function_check": function(solution="import nowhere\ndef f(): 1")}, "python"),
        ({"function_check": function(solution="def f(:")}, "python"),
        ({"packages": [package("sklearn", "scikit-learn", ">=1.3")]}, "scientific"),
        ({"packages": [package("numpy")], "environment": "scientific"}, "scientific"),
    ],
)
async def test_the_outcome_names_the_environment_that_was_chosen(
    site: Any, sample: Any, fields: dict[str, Any], environment: str
) -> None:
    outcome = (await site.stub.ExecuteOne(pb.ExecuteOneRequest(sample=sample(**fields)))).outcome
    assert (outcome.environment, outcome.environment_digest) == (environment, f"sha256:{environment[0]}")


async def test_screening_says_whose_grammar_it_used(site: Any, sample: Any) -> None:
    screened = await site.stub.Screen(pb.ScreenRequest(sample=sample()))
    assert screened.python_version == VERSION


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"packages": [package("numpy"), package("pandas", "", "<2")]}, "pandas<2", "scientific"),
    ({"packages": [package("numpy", "", ">=2")]}, "numpy>=2", "python"),
    ({"packages": [package("numpy")], "environment": "python"}, "numpy", "python"),
]


@pytest.mark.parametrize(("fields", "missing", "nearest"), REFUSED)
async def test_packages_that_nobody_has_are_refused_before_anything_runs(
    site: Any, sample: Any, fields: dict[str, Any], missing: str, nearest: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await site.stub.ExecuteOne(pb.ExecuteOneRequest(sample=sample(**fields)))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    info = error_info(caught.value)
    assert info.reason == "MISSING_PACKAGES"
    assert dict(info.metadata) == {"field": "packages", "missing": missing, "nearest": nearest}
    assert missing in str(caught.value.details())
    assert site.runtime.most_running == 0


@pytest.mark.parametrize(("fields", "missing", "nearest"), REFUSED)
async def test_on_a_stream_a_refusal_says_the_same_and_the_stream_goes_on(  # noqa: PLR0917 -- pytest passes them by name
    site: Any, sample: Any, stream: Any, fields: dict[str, Any], missing: str, nearest: str
) -> None:
    client = stream(site)
    await client.next()
    await client.send(sample("lacking", **fields))
    refusal = await client.next()
    assert (refusal.sample_id, refusal.reason) == ("lacking", "MISSING_PACKAGES")
    assert refusal.code == grpc.StatusCode.FAILED_PRECONDITION.value[0]
    assert dict(refusal.metadata) == {"field": "packages", "missing": missing, "nearest": nearest}
    await client.send(sample("fine"))
    assert (await client.next()).verdict == pb.VERDICT_PASSED
    client.call.cancel()


async def test_the_longest_refusal_fits_into_a_status(site: Any, sample: Any) -> None:
    wanted = [package(name=f"{'p' * 96}-{number}", versions=f"!={'1' * 97}") for number in range(100)]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await site.stub.ExecuteOne(pb.ExecuteOneRequest(sample=sample(packages=wanted)))
    assert error_info(caught.value).reason == "MISSING_PACKAGES"


async def test_environments_are_those_of_now(site: Any, sample: Any) -> None:
    site.runtime._environments = (PYTHON,)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await site.stub.ExecuteOne(pb.ExecuteOneRequest(sample=sample(environment="scientific")))
    assert error_info(caught.value).reason == "UNKNOWN_ENVIRONMENT"
    everything = Environment("python", "sha256:2", VERSION, packages={"numpy": "2"}, modules=frozenset({"numpy"}))
    site.runtime._environments = (everything,)
    outcome = (await site.stub.ExecuteOne(pb.ExecuteOneRequest(sample=sample(packages=[package("numpy")])))).outcome
    assert outcome.environment_digest == "sha256:2"


async def test_capabilities_list_what_is_installed(site: Any) -> None:
    capabilities = await site.stub.GetCapabilities(pb.GetCapabilitiesRequest())
    found = {one.name: [(each.name, each.version) for each in one.packages] for one in capabilities.environments}
    assert found == {"scientific": [("numpy", "1.26.4"), ("scikit-learn", "1.5.0")], "python": []}

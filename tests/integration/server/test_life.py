import asyncio
import signal
import stat
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from cupel_client.gen import sandbox_service_pb2 as pb
from cupel_client.gen import sandbox_service_pb2_grpc as pb_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from sandbox_server.errors import ListenError
from sandbox_server.runtimes.simulated import Fate, SimulatedRuntime

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
async def start_process() -> AsyncIterator[Any]:
    """Starts the command itself, and kills it in the end if a test did not."""
    started = []

    async def start(listen: str, *options: str) -> Any:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "sandbox_server", "serve", "--runtime", "simulated", "--slots", "2", "--listen", listen),
            *options,
            stdout=asyncio.subprocess.PIPE,
        )
        started.append(process)
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        assert line.startswith("listening on "), line
        assert "2 slots, runtime simulated, environments: local, walls: MISSING reality" in line
        return process, line.removeprefix("listening on ").split(",")[0]

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def health(channel: Any, service: Any = "cupel.sandbox.v1.SandboxService") -> int:
    stub = health_pb2_grpc.HealthStub(channel)
    return int((await stub.Check(health_pb2.HealthCheckRequest(service=service))).status)


async def test_tells_what_it_can_do(serve: Any) -> None:
    async with serve(slots=3) as site:
        told = await site.stub.GetCapabilities(pb.GetCapabilitiesRequest())
        assert (told.runtime, told.slots, told.maximum_source_bytes) == ("simulated", 3, 1 << 20)
        assert [environment.name for environment in told.environments] == ["local"]
        assert [(wall.name, wall.standing) for wall in told.walls] == [("reality", False)]
        assert told.isolations == [pb.ISOLATION_CELL]
        assert not told.draining


async def test_screens_without_running(serve: Any, sample: Any) -> None:
    async with serve() as site:
        task = pb.FunctionCheckTask(solution="def f(:", entry_point="f", check="def check(f): pass")
        seen = await site.stub.Screen(pb.ScreenRequest(sample=sample(function_check=task)))
        assert seen.syntax_fault.message
        assert seen.syntax_fault.line == 1
        assert seen.python_version == ".".join(map(str, sys.version_info[:3]))
        outcome = (await site.stub.ExecuteOne(pb.ExecuteOneRequest(sample=sample(function_check=task)))).outcome
        assert outcome.verdict == pb.VERDICT_SYNTAX_ERROR
        assert site.runtime.most_running == 0


async def test_health_follows_the_workers(serve: Any) -> None:
    async with serve() as site:
        assert await health(site.channel) == SERVING
        assert await health(site.channel, "") == SERVING
        site.runtime.serving = False
        while await health(site.channel) != NOT_SERVING:  # noqa: ASYNC110 -- a test waits for what it can only look at
            await asyncio.sleep(0.05)


async def test_drain_answers_what_was_taken_and_refuses_the_rest(serve: Any, sample: Any, stream: Any) -> None:
    async with serve(SimulatedRuntime([Fate.PASS], duration=timedelta(milliseconds=300))) as site:
        client = stream(site)
        await client.next()
        await client.send(sample("taken"))
        while not site.runtime.running:  # noqa: ASYNC110 -- a test waits for what it can only look at
            await asyncio.sleep(0.005)
        draining = asyncio.create_task(site.server.drain(timedelta(seconds=20)))
        news = await client.next()
        assert news.grace.seconds == 20
        assert await health(site.channel) == NOT_SERVING
        await client.send(sample("late"))
        answers = [await client.next(), await client.next()]
        assert [answers[0].sample_id, answers[0].reason] == ["late", "DRAINING"]
        assert (answers[1].sample_id, answers[1].verdict) == ("taken", pb.VERDICT_PASSED)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.next()  # the client did not close its side, so the server ends the stream
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        await draining
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await site.stub.ExecuteOne(pb.ExecuteOneRequest(sample=sample()))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_client_that_closes_when_told_ends_well(serve: Any, stream: Any) -> None:
    async with serve() as site:
        client = stream(site)
        await client.next()
        draining = asyncio.create_task(site.server.drain(timedelta(seconds=20)))
        assert (await client.next()).grace.seconds == 20
        await client.call.done_writing()
        assert await client.next() is None
        assert await client.call.code() is grpc.StatusCode.OK
        await draining


async def test_what_outlasts_the_grace_is_killed(serve: Any, sample: Any, stream: Any) -> None:
    async with serve(SimulatedRuntime([Fate.HANG])) as site:
        client = stream(site)
        await client.next()
        await client.send(sample())
        while not site.runtime.running:  # noqa: ASYNC110 -- a test waits for what it can only look at
            await asyncio.sleep(0.005)
        await site.server.drain(timedelta(0))
        await site.server.stop()
        assert site.runtime.running == 0
        assert site.runtime.killed == 1


async def test_reflection_shows_the_contract(tmp_path: Path, start_process: Any) -> Any:
    _, address = await start_process(f"unix:{tmp_path}/s.sock")

    def services() -> list[str]:
        with grpc.insecure_channel(address) as channel:
            return list(ProtoReflectionDescriptorDatabase(channel).get_services())

    assert "cupel.sandbox.v1.SandboxService" in await asyncio.to_thread(services)


async def test_a_unix_socket_is_its_owners_and_goes_with_the_server(serve: Any, tmp_path: Path) -> None:
    async with serve():
        mode = (tmp_path / "s.sock").stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
    assert not (tmp_path / "s.sock").exists()


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "somewhere.example:0"])
async def test_refuses_to_listen_beyond_this_machine(serve: Any, address: str) -> None:
    with pytest.raises(ListenError, match="no authentication"):
        async with serve(listen=(address,)):
            pytest.fail("listened")


async def test_an_address_that_is_taken_is_named(serve: Any) -> None:
    async with serve(listen=("127.0.0.1:0",)) as site:
        taken = site.address
        with pytest.raises(ListenError, match=taken):
            async with serve(listen=(taken,)):
                pytest.fail("listened")


HANG = list(Fate).index(Fate.HANG)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_and_ends_well(tmp_path: Path, start_process: Any, number: int) -> None:
    process, _ = await start_process(f"unix:{tmp_path}/s.sock")
    process.send_signal(number)
    assert await process.wait() == 0
    assert not (tmp_path / "s.sock").exists()


async def test_a_second_signal_ends_at_once(tmp_path: Path, start_process: Any, sample: Any) -> None:
    process, address = await start_process(f"unix:{tmp_path}/s.sock", "--drain-grace", "3000")
    async with grpc.aio.insecure_channel(address) as channel:
        call: Any = pb_grpc.SandboxServiceStub(channel).Execute()
        await call.read()
        await call.write(pb.ExecuteRequest(sample=sample(seed=HANG)))
        process.send_signal(signal.SIGTERM)
        assert (await call.read()).HasField("drain")
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


def running(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False


async def test_ends_with_its_parent(tmp_path: Path) -> None:
    socket = tmp_path / "s.sock"
    script = (
        "import subprocess, sys, time\n"
        "server = subprocess.Popen([sys.executable, '-m', 'sandbox_server', 'serve', '--die-with-parent',\n"
        f"    '--runtime', 'simulated', '--listen', 'unix:{socket}'], stdout=subprocess.PIPE)\n"
        "assert server.stdout.readline().startswith(b'listening on')\n"
        "print(server.pid, flush=True)\n"
        "time.sleep(1000)\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()
    while running(pid):  # noqa: ASYNC110 -- a test waits for what it can only look at
        await asyncio.sleep(0.05)
    assert not (await asyncio.to_thread(socket.exists))

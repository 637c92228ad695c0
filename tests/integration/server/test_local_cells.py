"""The server with the real agent, with whatever walls stand on this machine."""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from cupel_client.gen import sandbox_service_pb2 as pb
from cupel_client.gen import sandbox_service_pb2_grpc as pb_grpc
from google.protobuf.duration_pb2 import Duration

from sandbox_server.config import Settings
from sandbox_server.life import running
from sandbox_server.runtimes.choice import local_options
from sandbox_server.runtimes.local import LocalRuntime

TESTS = """
import unittest
class TestCases(unittest.TestCase):
    def test_a(self):
        self.assertEqual(f(), 1)
"""
CHECK = "def check(candidate):\n    assert candidate() == 1\n"


def function(solution: str) -> dict[str, Any]:
    return {"function_check": pb.FunctionCheckTask(solution=solution, entry_point="f", check=CHECK)}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Any]:
    settings = Settings(slots=3, allow_weak_isolation=True, profiles={}, listen=(f"unix:{tmp_path}/s.sock",))
    runtime = LocalRuntime(local_options(settings))
    async with (
        running(settings, runtime) as (_, addresses),
        grpc.aio.insecure_channel(addresses[0]) as channel,
    ):
        yield pb_grpc.SandboxServiceStub(channel), runtime


async def judge(site: Any, **fields: Any) -> Any:
    stub, _ = site
    request = pb.ExecuteOneRequest(sample=pb.Sample(sample_id="s", **fields))
    return (await stub.ExecuteOne(request)).outcome


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({"script": pb.ScriptTask(source="print(input())", stdin=b"hello")}, "PASSED"),
        ({"script": pb.ScriptTask(source="raise ValueError('\\ud800')")}, "RUNTIME_ERROR"),
        ({"script": pb.ScriptTask(source="import os, signal; os.kill(os.getpid(), 11)")}, "CRASHED"),
        ({"script": pb.ScriptTask(source="def f(:")}, "SYNTAX_ERROR"),
        ({"unittest": pb.UnittestTask(solution="def f(): return 1", test=TESTS)}, "PASSED"),
        ({"unittest": pb.UnittestTask(solution="def f(): return 2", test=TESTS)}, "FAILED_ASSERTION"),
        (function("def f(): return 1"), "PASSED"),
        (function("def f(): return 2"), "FAILED_ASSERTION"),
        (function("import nothing_of_that_name\ndef f(): return 1"), "IMPORT_MISSING"),
        (
            {
                "stdio": pb.StdioTask(
                    source="print(int(input()) + 1)",
                    cases=[pb.StdioCase(stdin=b"1\n", expected_stdout=b"2\n")],
                )
            },
            "PASSED",
        ),
    ],
)
async def test_each_kind_is_judged(site: Any, fields: Any, verdict: str) -> None:
    outcome = await judge(site, **fields)
    assert pb.Verdict.Name(outcome.verdict) == f"VERDICT_{verdict}", outcome.explanation
    assert outcome.isolation == "local/cell"
    assert outcome.environment_digest


async def test_a_files_way_in_and_out(site: Any) -> None:
    task = pb.ScriptTask(
        source="open('out', 'wb').write(open('in', 'rb').read() * 2)",
        files=[pb.File(path="in", content=b"\x00\xff")],
        collect=["out", "absent"],
    )
    outcome = await judge(site, script=task)
    assert [(file.path, file.content) for file in outcome.files] == [("out", b"\x00\xff\x00\xff")]


async def test_a_cancelled_sample_is_dead_when_it_is_answered(site: Any) -> None:
    stub, runtime = site
    call = stub.Execute()
    await call.read()
    endless = pb.Sample(
        sample_id="endless",
        script=pb.ScriptTask(source="while True: pass"),
        limits=pb.Limits(cpu_time=Duration(seconds=100), wall_time=Duration(seconds=100)),
    )
    await call.write(pb.ExecuteRequest(sample=endless))
    await asyncio.sleep(0.3)
    await call.write(pb.ExecuteRequest(cancellation=pb.Cancellation(sample_id="endless")))
    outcome = (await call.read()).outcome
    assert outcome.verdict == pb.VERDICT_CANCELLED
    assert (await judge(site, **function("def f(): return 1"))).verdict == pb.VERDICT_PASSED
    assert len(runtime.worker_pids) == 1
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF


async def test_a_worker_killed_under_its_samples_costs_none_of_them(site: Any) -> None:
    stub, runtime = site
    call = stub.Execute()
    left, sent, verdicts = (await call.read()).credit.samples, 0, Counter[str]()
    killed = 0
    while sum(verdicts.values()) < 60:
        while left and sent < 60:
            slow = {"script": pb.ScriptTask(source="import time; time.sleep(0.02)")}
            await call.write(pb.ExecuteRequest(sample=pb.Sample(sample_id=str(sent), **slow)))  # type: ignore[arg-type]  # one task
            left, sent = left - 1, sent + 1
        verdicts[pb.Verdict.Name((await call.read()).outcome.verdict)] += 1
        left += 1
        if sum(verdicts.values()) in {20, 40} and runtime.worker_pids:
            os.kill(runtime.worker_pids[0], signal.SIGKILL)
            killed += 1
    assert killed == 2
    assert verdicts == {"VERDICT_PASSED": 60}
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF


def descendants(pid: int) -> set[int]:
    """All processes below one, by their parents."""
    children: dict[int, set[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1])
        except FileNotFoundError:
            continue
        children.setdefault(parent, set()).add(int(path.parent.name))
    found, todo = set[int](), [pid]
    while todo:
        for child in children.get(todo.pop(), ()):
            found.add(child)
            todo.append(child)
    return found


def alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_nothing_outlives_the_server(tmp_path: Path, number: int) -> None:
    listen = f"unix:{tmp_path}/s.sock"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *(
            "-m",
            "sandbox_server",
            "serve",
            "--listen",
            listen,
            "--allow-weak-isolation",
            "--drain-grace",
            "0",
        ),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert (await process.stdout.readline()).startswith(b"listening on")
    async with grpc.aio.insecure_channel(listen) as channel:
        call: Any = pb_grpc.SandboxServiceStub(channel).Execute()
        await call.read()
        # Large enough to be screened in a process of its own, which must not be left either.
        source = "import time\ntime.sleep(50)\n" + "#" * 70_000
        await call.write(pb.ExecuteRequest(sample=pb.Sample(sample_id="s", script=pb.ScriptTask(source=source))))
        before: set[int] = set()
        while len(before) < 5:
            await asyncio.sleep(0.1)
            before = await asyncio.to_thread(descendants, process.pid)
        process.send_signal(number)
        await process.wait()
        call.cancel()
    while any(map(alive, before)):  # noqa: ASYNC110 -- a test waits for what it can only look at
        await asyncio.sleep(0.05)

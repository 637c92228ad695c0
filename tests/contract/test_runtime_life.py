"""A runtime's life: it cancels by killing, survives the death of its parts, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox_server.errors import WallMissingError, WorkerLostError
from sandbox_server.model import Isolation, ScriptTask
from sandbox_server.runtimes.local import LocalRuntime
from tests.contract.conftest import Bench, leave_out_if_unavailable
from tests.contract.ways import LOCAL_WAYS, Way, agent_copy, options, without_namespaces

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.asyncio(loop_scope="module")

# A process calls itself by a name that nobody else has, with all it starts, and is then seen from outside.
NAMED = """
import ctypes, os, time
ctypes.CDLL(None).prctl(15, b"%s", 0, 0, 0)
{action}
"""
FAMILY = """
import signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        break
time.sleep(100)
"""


def name_of_its_own() -> str:
    return f"c{secrets.token_hex(7)}"


def named(name: str) -> list[int]:
    """The processes of this machine that call themselves so."""
    found = []
    for path in Path("/proc").glob("[0-9]*/comm"):
        try:
            if path.read_text(encoding="utf-8", errors="replace").strip() == name:
                found.append(int(path.parent.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


LOOK = """
import glob
found = 0
for path in glob.glob("/proc/[0-9]*/comm"):
    try:
        with open(path) as file:
            found += file.read().strip() == "%s"
    except OSError:
        pass
print(found)
"""


async def seen(bench: Bench, name: str) -> int:
    """How many processes call themselves so: seen from the machine, or where they hide from it, by another cell."""
    if bench.way.own_kernel:
        return int(await bench.printed(LOOK % name))
    return len(named(name))


def descendants(pid: int) -> set[int]:
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents[int(path.parent.name)] = int(fields[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 -- a test waits for what it can only look at
        await asyncio.sleep(0.02)


async def until_seen(bench: Bench, name: str, count: int) -> None:
    while await seen(bench, name) != count:  # noqa: ASYNC110 -- likewise
        await asyncio.sleep(0.02)


async def must_be_gone(bench: Bench, name: str) -> None:
    """Sees that processes are gone: at once where the kernel ends them together, else soon."""
    if "pid_namespace" in bench.way.missing:
        await until_seen(bench, name, 0)
    assert await seen(bench, name) == 0


@pytest.fixture
def visible(bench: Bench) -> Bench:
    """The bench, where somebody else can see a sample's processes."""
    if bench.way.own_kernel and bench.way.isolation is Isolation.CONTAINER:
        pytest.skip("the processes of a container with a kernel of its own are seen by nobody outside")
    return bench


async def test_cancelling_kills_all_that_the_sample_started(visible: Bench) -> None:
    bench = visible
    name = name_of_its_own()
    source = (NAMED % name).format(action=FAMILY)
    running = asyncio.create_task(bench.runtime.run(bench.sample(ScriptTask(source))))
    await until_seen(bench, name, 4)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await must_be_gone(bench, name)
    assert await bench.printed("print(1)") == "1\n"


async def test_what_a_sample_leaves_behind_ends_with_it(visible: Bench) -> None:
    bench = visible
    name = name_of_its_own()
    source = (NAMED % name).format(action=FAMILY.replace("break", "time.sleep(100)") + "# ends at once")
    source = source.replace("\ntime.sleep(100)", "\ntime.sleep(0.1)")
    assert (await bench.script(source)).exit_code == 0
    await must_be_gone(bench, name)


async def test_cancelling_before_the_cell_stands_is_no_fault(bench: Bench) -> None:
    for pause in range(20):
        running = asyncio.create_task(bench.runtime.run(bench.sample(ScriptTask("while True: pass"))))
        for _ in range(pause):
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert await bench.printed("print(1)") == "1\n"


def leftovers() -> set[str]:
    """What a runtime could leave on the machine beside processes."""
    found = {str(path) for path in Path("/tmp").glob("cupel-*")}
    for folder, names, _ in os.walk("/sys/fs/cgroup"):
        found |= {f"{folder}/{name}" for name in names if name.startswith("cupel-")}
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    return found | {line for line in mounts if re.match(r"(cupel|cell) ", line)}


def of(pids: set[int], folder: str, found: set[str]) -> set[str]:
    """Those of some leftovers that belong to these processes or to this folder: others test here as well."""
    groups = {f"cupel-{pid}" for pid in pids}
    return {one for one in found if not one.startswith("/") or groups & set(Path(one).parts) or one == folder}


@pytest.mark.parametrize("way", LOCAL_WAYS, ids=[one.name for one in LOCAL_WAYS])
@pytest.mark.parametrize("ends", ["stop", "SIGKILL", "SIGTERM"])
async def test_nothing_is_left_of_a_worker(
    way: Way, ends: str, open_folder: Path, request: pytest.FixtureRequest
) -> None:
    if ends == "SIGKILL" and not way.walled:
        pytest.skip("without a PID namespace nobody is left to end what a sample started")
    bench = await _started(request, open_folder)
    runtime = bench.runtime
    assert isinstance(runtime, LocalRuntime)
    name = name_of_its_own()
    folder = str(Path((await bench.printed("import os; print(os.getcwd())")).strip()).parent)
    source = (NAMED % name).format(action=FAMILY)
    before_mounts = {one for one in leftovers() if not one.startswith("/")}
    running = [asyncio.create_task(runtime.run(bench.sample(ScriptTask(source)))) for _ in range(2)]
    await until(lambda: len(named(name)) == 8)
    (worker,) = runtime.worker_pids
    family = descendants(worker) | {worker}
    assert len(family) > 8
    if ends == "stop":
        await runtime.stop()
    else:
        os.kill(worker, getattr(signal, ends))
    for one in running:
        with pytest.raises(WorkerLostError):
            await one
    await runtime.stop()
    await until(lambda: not any(map(alive, family)))
    assert named(name) == []
    if ends == "SIGKILL":
        # Nobody was left to clear up; the next worker's start does.
        again = await _started(request, open_folder)
        await again.runtime.stop()
        await until(lambda: not {one for one in of(family, "", leftovers()) if "cgroup" in one})
    else:
        left = of(family, folder if folder.startswith("/tmp/") else "", leftovers())
        assert left <= before_mounts, left


async def _started(request: pytest.FixtureRequest, folder: Path) -> Bench:
    way = request.node.callspec.params["way"]
    leave_out_if_unavailable(way)
    runtime = way.build(folder)
    await runtime.start()
    return Bench(runtime, way)


@pytest.fixture
def local(bench: Bench) -> LocalRuntime:
    """The runtime, for what is told by its processes."""
    if not isinstance(bench.runtime, LocalRuntime):
        pytest.skip("looks for processes that the local runtime alone names")
    return bench.runtime


async def test_a_killed_zygote_costs_its_samples_an_attempt_and_nobody_else(bench: Bench, local: LocalRuntime) -> None:
    runtime = local
    name = name_of_its_own()
    source = (NAMED % name).format(action="time.sleep(100)")
    running = asyncio.create_task(runtime.run(bench.sample(ScriptTask(source))))
    await until(lambda: named(name))
    (sample_pid,) = named(name)
    (worker,) = runtime.worker_pids
    family = descendants(worker)
    # From the sample's process up: the cell's first process, then the zygote.
    zygote = parent(parent(sample_pid))
    assert zygote in family
    os.kill(zygote, signal.SIGKILL)
    try:
        facts = await running
    except WorkerLostError:
        pass
    else:
        assert facts.sandbox_fault is not None
        assert facts.sandbox_fault.reason == "CELL_LOST"
    await until(lambda: not named(name))
    assert await bench.printed("print(1)") == "1\n"
    # The worker is replaced, for what no sample should be able to cause.
    await until(lambda: worker not in runtime.worker_pids)
    assert await bench.printed("print(2)") == "2\n"


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])


async def test_a_killed_agent_is_replaced(bench: Bench, local: LocalRuntime) -> None:
    runtime = local
    (worker,) = runtime.worker_pids
    family = descendants(worker)
    running = asyncio.create_task(runtime.run(bench.sample(ScriptTask("import time; time.sleep(100)"))))
    await asyncio.sleep(0.2)
    (agent,) = [pid for pid in family if parent(pid) == worker]
    os.kill(agent, signal.SIGKILL)
    with pytest.raises(WorkerLostError):
        await running
    assert await bench.printed("print(1)") == "1\n"
    await until(lambda: not any(map(alive, family)))


async def test_refuses_to_start_without_namespaces(open_folder: Path) -> None:
    runtime = LocalRuntime(options(python=without_namespaces(open_folder), launcher=agent_copy(open_folder)))
    with pytest.raises(WallMissingError, match="namespaces"):
        await runtime.start()
    assert runtime.worker_pids == ()
    assert not runtime.serving


async def test_refuses_to_start_without_a_wall_that_is_required_by_name(open_folder: Path) -> None:
    runtime = LocalRuntime(
        options(
            python=without_namespaces(open_folder),
            launcher=agent_copy(open_folder),
            allow_weak_isolation=True,
            required_walls=frozenset({"network_namespace", "seccomp"}),
        )
    )
    with pytest.raises(WallMissingError, match="network_namespace"):
        await runtime.start()
    assert runtime.worker_pids == ()


async def test_tells_which_walls_stand(bench: Bench) -> None:
    _, walls = bench.runtime.describe()
    missing = {wall.name for wall in walls if not wall.standing}
    assert missing == bench.way.missing

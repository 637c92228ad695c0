"""Every limit bites, on the whole of a sample, and is told apart from what a program does by itself."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from sandbox_server.model import Limit, StdioCase, StdioTask

if TYPE_CHECKING:
    from tests.contract.conftest import Bench

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHORT: dict[str, Any] = {"cpu_time": timedelta(seconds=0.4)}
ENDLESS = "while True: pass\n"
ELSEWHERE = """
import os, time
for _ in range({number}):
    if os.fork() == 0:
        {action}
        os._exit(0)
time.sleep(60)
"""
TOUCH = "held = bytearray({mebibytes} << 20)\nfor at in range(0, len(held), 4096): held[at] = 1\n"
GROW = "held = []\nwhile True: held.append(b'x' * (5 << 20))\n"
MEMORY = {"memory_bytes": 96 << 20}


@pytest.mark.parametrize(
    ("source", "limits", "limit"),
    [
        pytest.param(ENDLESS, SHORT, Limit.CPU, id="cpu"),
        pytest.param("sum(range(10**12))", SHORT, Limit.CPU, id="cpu in C"),
        pytest.param(
            ELSEWHERE.format(number=2, action="while True: pass"), SHORT, Limit.CPU, id="cpu of children"
        ),
        pytest.param(
            "import os\nwhile True:\n    if os.fork() == 0: os._exit(sum(range(10**5)) & 0)\n    os.wait()",
            SHORT, Limit.CPU, id="cpu of children that ended",
        ),
        pytest.param(
            "import threading\nfor _ in range(3): threading.Thread(target=lambda: sum(range(10**12))).start()",
            SHORT, Limit.CPU, id="cpu of threads",
        ),
        pytest.param(
            "import time; time.sleep(100)", {"wall_time": timedelta(seconds=0.4)}, Limit.WALL, id="wall"
        ),
        pytest.param(
            "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
            {"wall_time": timedelta(seconds=0.4)}, Limit.WALL, id="wall, stopped",
        ),
        pytest.param(
            ELSEWHERE.format(number=4, action="held = b'x' * (60 << 20); time.sleep(60)"),
            MEMORY, Limit.MEMORY, id="memory of the tree",
        ),
        pytest.param("while True: print('x' * 10**6)", {}, Limit.OUTPUT, id="output"),
        pytest.param(
            "import sys\nwhile True: sys.stderr.write('x')", {"output_bytes": 100_000}, Limit.OUTPUT,
            id="output on stderr, dripping",
        ),
        pytest.param(
            "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", {}, Limit.PROCESSES,
            id="processes",
        ),
        pytest.param(
            "import threading, time\nwhile True:\n    try: threading.Thread(target=time.sleep, args=(60,)).start()\n"
            "    except RuntimeError: pass", {}, Limit.PROCESSES, id="threads",
        ),
    ],
)  # fmt: skip
async def test_a_limit_ends_the_sample(bench: Bench, source: str, limits: dict[str, Any], limit: Limit) -> None:
    facts = await bench.script(source, **limits)
    expected = {limit}
    if bench.way.own_kernel and limit is Limit.PROCESSES:
        # gVisor counts a process that is runnable as one that runs, so a bomb of 32 uses 32 s of CPU time a second.
        expected.add(Limit.CPU)
    assert facts.limit in expected, (facts.exit_code, facts.exit_signal, facts.error, facts.stderr.tail)


async def test_memory_of_one_process(bench: Bench) -> None:
    facts = await bench.script(GROW, **MEMORY)
    assert facts.limit is Limit.MEMORY


async def test_memory_that_can_never_be_had_is_an_error_of_the_program(bench: Bench) -> None:
    facts = await bench.script("held = bytearray(64 << 30)", **MEMORY)
    assert facts.error is not None
    assert facts.error.type_name == "MemoryError"


async def test_memory_within_the_limit_is_had(bench: Bench) -> None:
    await bench.printed(TOUCH.format(mebibytes=60), **MEMORY)


async def test_files_in_memory_count_as_memory_or_disk(bench: Bench) -> None:
    source = """
import os
for number in range(1000):
    with open(f"file{number}", "wb") as file:
        file.write(b"x" * (1 << 20))
import time; time.sleep(60)
"""
    facts = await bench.script(source, disk_bytes=64 << 20, memory_bytes=48 << 20)
    # Whoever fills the disk between two looks at the memory is told so by the disk.
    assert facts.limit in {Limit.MEMORY, Limit.DISK} or "disk" in facts.refused_resources


async def test_a_full_disk_is_told(bench: Bench) -> None:
    source = """
number = 0
while True:
    number += 1
    with open(f"file{number}", "wb") as file:
        file.write(b"x" * (1 << 20))
"""
    facts = await bench.script(source, disk_bytes=8 << 20)
    assert facts.limit is Limit.DISK or "disk" in facts.refused_resources
    assert facts.exit_code != 0


async def test_a_disk_without_inodes_is_told(walled: Bench) -> None:
    facts = await walled.script("for number in range(10**6): open(str(number), 'x').close()")
    assert facts.error is not None
    assert facts.error.type_name == "OSError"
    assert "disk" in facts.refused_resources


async def test_one_file_has_a_size(bench: Bench) -> None:
    source = "open('sparse', 'wb').truncate(1 << 40)"
    for program in (source, "file = open('long', 'wb')\nwhile True: file.write(b'x' * 65536)"):
        facts = await bench.script(program, file_size_bytes=1 << 20)
        assert facts.error is not None
        assert "[Errno 27]" in facts.error.message
        assert "disk" in facts.refused_resources


async def test_open_files_are_counted(bench: Bench) -> None:
    source = """
import os
count = 0
try:
    while True:
        os.open("/dev/null", os.O_RDONLY)
        count += 1
except OSError as error:
    print(error.errno, count)
"""
    number, count = (await bench.printed(source, open_files=32)).split()
    assert number == "24"
    assert 20 < int(count) < 32


async def test_no_limit_can_be_raised(bench: Bench) -> None:
    source = """
import resource
raised = []
for name in dir(resource):
    if not name.startswith("RLIMIT_"):
        continue
    kind = getattr(resource, name)
    soft, hard = resource.getrlimit(kind)
    if hard == resource.RLIM_INFINITY:
        continue
    for wanted in (hard + 1, resource.RLIM_INFINITY):
        try:
            resource.setrlimit(kind, (wanted, wanted))
            raised.append(name)
        except (ValueError, OSError):
            pass
print(raised, resource.getrlimit(resource.RLIMIT_CORE))
"""
    assert await bench.printed(source) == "[] (0, 0)\n"


async def test_processes_within_the_limit_are_had(bench: Bench) -> None:
    source = """
import subprocess, sys, threading
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(8) as pool:
    print(sum(pool.map(int, range(100))))
running = [subprocess.Popen(["sleep", "0.1"]) for _ in range(10)]
print([one.wait() for one in running])
"""
    assert await bench.printed(source) == f"4950\n{[0] * 10}\n"


async def test_a_limit_on_time_holds_for_each_case(bench: Bench) -> None:
    source = "import sys\nif input() == 'stuck':\n    while True: pass\nprint('ok')"
    cases = (StdioCase(b"go\n", b"ok"), StdioCase(b"stuck\n", b"ok"), StdioCase(b"go\n", b"ok"))
    facts = await bench.run(StdioTask(source, cases), **SHORT)
    assert facts.limit is Limit.CPU
    assert [result.status.name for result in facts.results] == ["PASSED", "ERROR"]


async def test_samples_at_their_limits_do_not_cost_their_neighbours(bench: Bench) -> None:
    hostile = [
        ENDLESS, GROW, "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
        "while True: print('x' * 10**6)",
    ]  # fmt: skip
    running = [asyncio.create_task(bench.script(source, **SHORT)) for source in hostile]
    honest = await asyncio.gather(*(bench.printed(f"print(sum(range({n})))") for n in range(40)))
    assert honest == [f"{sum(range(n))}\n" for n in range(40)]
    assert None not in [facts.limit for facts in await asyncio.gather(*running)]


async def test_memory_that_processes_share_counts_once(walled: Bench) -> None:
    """Twelve forks of a process with 60 MiB have 60 MiB, not 720."""
    if walled.way.name.startswith("docker-runsc"):
        pytest.skip("gVisor does not tell what processes share")
    source = (
        "import os, time\n"
        "data = bytearray(os.urandom(1 << 20)) * 60\n"
        "children = []\n"
        "for _ in range(12):\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        time.sleep(0.5)\n"
        "        os._exit(0)\n"
        "    children.append(child)\n"
        "print(sum(os.waitpid(child, 0)[1] for child in children))\n"
    )
    facts = await walled.script(source, processes=32)
    assert facts.limit is None
    assert facts.stdout.head == b"0\n"

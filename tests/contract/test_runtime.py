"""What every runtime owes its callers: the same facts of the same sample, and cells that do not know each other."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import TYPE_CHECKING

import pytest

from sandbox_server.model import (
    File,
    FunctionCheckTask,
    ScriptTask,
    Stage,
    StdioCase,
    StdioTask,
    TestStatus,
    UnittestTask,
)

if TYPE_CHECKING:
    from sandbox_server.model import Task
    from tests.contract.conftest import Bench

pytestmark = pytest.mark.asyncio(loop_scope="module")

TESTS = """
import unittest
class TestCases(unittest.TestCase):
    def test_a(self):
        self.assertEqual(f(1), 2)
    def test_b(self):
        self.assertEqual(f(2), 3)
"""
CHECK = "def check(candidate):\n    assert candidate(1) == 2\n"
CASES = (StdioCase(b"1\n", b"2\n"), StdioCase(b"2\n", b"3\n"))
GOOD, BAD = "def f(x):\n    return x + 1\n", "def f(x):\n    return 2\n"
PASSED, FAILED, WRONG = TestStatus.PASSED, TestStatus.FAILED, TestStatus.WRONG_OUTPUT


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (UnittestTask(GOOD, TESTS), {"test_a": PASSED, "test_b": PASSED}),
        (UnittestTask(BAD, TESTS), {"test_a": PASSED, "test_b": FAILED}),
        (
            FunctionCheckTask(GOOD, "f", CHECK, ("assert f(5) == 6",)),
            {"check": PASSED, "assertion 0": PASSED},
        ),
        (
            FunctionCheckTask(BAD, "f", CHECK, ("assert f(5) == 6",)),
            {"check": PASSED, "assertion 0": FAILED},
        ),
        (StdioTask("print(int(input()) + 1)", CASES), {"case 0": PASSED, "case 1": PASSED}),
        (StdioTask("print(2)", CASES), {"case 0": PASSED, "case 1": WRONG}),
    ],
)
async def test_kinds_with_tests_report_each(bench: Bench, task: Task, expected: dict[str, TestStatus]) -> None:
    facts = await bench.run(task)
    assert {result.test_id: result.status for result in facts.results} == expected
    assert facts.reported_tests == tuple(expected)
    assert facts.tampering == facts.integrity == ()
    assert facts.limit is None
    if not isinstance(task, StdioTask):
        assert facts.stage is Stage.COMPLETE


@pytest.mark.parametrize(
    ("source", "code", "number", "error"),
    [
        ("print('fine')", 0, None, None),
        ("import sys; sys.exit(7)", 7, None, None),
        ("1 / 0", 1, None, "ZeroDivisionError"),
        ("import no_such_module", 1, None, "ModuleNotFoundError"),
        ("def f(:", 1, None, "SyntaxError"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", None, 9, None),
        ("import os; os.abort()", None, 6, None),
        ("import ctypes; ctypes.string_at(0)", None, 11, None),
        ("import os; os._exit(0)", 0, None, None),
    ],
)
async def test_a_script_ends_as_it_ends(
    bench: Bench, source: str, code: int | None, number: int | None, error: str | None
) -> None:
    facts = await bench.script(source)
    assert (facts.exit_code, facts.exit_signal) == (code, number)
    assert (facts.error.type_name if facts.error else None) == error
    assert facts.limit is None


@pytest.mark.parametrize(
    ("solution", "kind"), [("def f(:", "syntax"), ("1 / 0", "error"), ("def g(): pass", "entry_point")]
)
async def test_a_solution_that_does_not_load_says_why(bench: Bench, solution: str, kind: str) -> None:
    for task in (UnittestTask(solution, TESTS, entry_point="f"), FunctionCheckTask(solution, "f", CHECK)):
        facts = await bench.run(task)
        assert facts.error is not None
        assert (facts.stage, facts.error.kind) == (Stage.LOADING, kind)
        assert facts.results == ()


async def test_parsing_never_executes(bench: Bench) -> None:
    (environment,), _ = bench.runtime.describe()
    assert await bench.runtime.parse("raise SystemExit(1)", environment.name) is None
    fault = await bench.runtime.parse("x = 1\ndef f(:\n", environment.name)
    assert fault is not None
    assert fault.line == 2


async def test_standard_input_and_arguments(bench: Bench) -> None:
    stdin = bytes(range(256)) * 1000
    source = "import sys, hashlib; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest(), sys.argv[1:])"
    facts = await bench.run(ScriptTask(source, arguments=("-x", "é"), stdin=stdin))
    import hashlib  # noqa: PLC0415  -- beside its twin in the program

    assert facts.stdout.head.decode() == f"{hashlib.sha256(stdin).hexdigest()} ['-x', 'é']\n"
    assert (await bench.printed("import sys; print(repr(sys.stdin.read()))")) == "''\n"


async def test_files_go_in_and_come_out(bench: Bench) -> None:
    source = "import os; os.mkdir('out'); open('out/b', 'wb').write(open('in/a', 'rb').read()[::-1])"
    task = ScriptTask(source, files=(File("in/a", b"\x00\xff1"),), collect=("out/b", "in/a", "absent"))
    facts = await bench.run(task)
    assert facts.files == (File("out/b", b"1\xff\x00"), File("in/a", b"\x00\xff1"))


async def test_only_regular_files_within_the_folder_come_out(bench: Bench) -> None:
    source = """
import os, socket
os.symlink("/etc/passwd", "link")
os.symlink("/etc", "folder_link")
os.mkdir("folder")
os.mkfifo("fifo")
os.symlink("fine", "link_to_fine")
socket.socket(socket.AF_UNIX).bind("socket")
open("fine", "w").write("fine")
open("secret", "w").write("x")
os.chmod("secret", 0)
"""
    names = ("link", "folder_link/passwd", "folder", "fifo", "link_to_fine", "socket", "fine", "secret",
             "../../etc/passwd", "/etc/passwd", "fine/x", ".", "a" * 300, "/".join(["a"] * 100))  # fmt: skip
    facts = await bench.run(ScriptTask(source, collect=names))
    assert facts.exit_code == 0, facts.error
    assert File("fine", b"fine") in facts.files
    # Its own user may read what has no permissions only by capability; either is no escape.
    assert {file.path for file in facts.files} <= {"fine", "secret"}


STATE = """
import os, random, time, json, sys
print(json.dumps({
    "cwd": sorted(os.listdir(".")), "environment": dict(os.environ), "zone": time.tzname[0],
    "hash": hash("hash"), "random": random.random(), "argv": sys.argv,
    "umask": os.umask(0), "niceness": os.nice(0),
}))
"""


async def test_the_same_seed_gives_the_same_state_and_another_another(bench: Bench) -> None:
    first = json.loads(await bench.printed(STATE, seed=7))
    again = json.loads(await bench.printed(STATE, seed=7))
    other = json.loads(await bench.printed(STATE, seed=8))
    assert first == again
    assert other["random"] != first["random"]
    assert {**other, "random": 0} == {**first, "random": 0}
    assert (first["cwd"], first["zone"], first["umask"]) == ([], "UTC", 0o022)
    assert first["environment"]["PYTHONHASHSEED"] == "0"
    assert first["environment"]["HOME"] == "/tmp"
    assert not {name for name in first["environment"] if "CUPEL" in name or "SECRET" in name}


async def test_a_samples_own_variables(bench: Bench) -> None:
    source = "import os, time; print(os.environ['COLOUR'], time.tzname[0], os.environ['LANG'])"
    assert await bench.printed(source, env={"COLOUR": "blü", "TZ": "XYZ-3"}) == "blü XYZ C.UTF-8\n"
    assert "COLOUR" not in await bench.printed("import os; print(sorted(os.environ))")


async def test_secrets_of_two_cells_with_one_seed_differ(bench: Bench) -> None:
    source = "import os, uuid, secrets; print(os.urandom(8).hex(), uuid.uuid4(), secrets.token_hex(8))"
    assert await bench.printed(source, seed=1) != await bench.printed(source, seed=1)


CHANGE = """
import json, os, random, sys, builtins, unittest, string
json.dumps = lambda *a: "poisoned"
builtins.len = lambda x: -1
unittest.TestCase.assertEqual = lambda *a: None
string.ascii_letters = "poisoned"
sys.modules["math"] = json
sys.path.append("/poisoned")
os.environ["POISON"] = "1"
os.umask(0o777)
for folder in ["."] + %r:
    try:
        open(os.path.join(folder, "%s"), "w").write("poison")
    except OSError:
        pass
os.nice(5)
"""
LOOK = """
import json, os, sys, builtins, unittest, string
found = [json.dumps([1]), len([1]), string.ascii_letters[:3], sys.modules["math"].__name__,
         "/poisoned" in sys.path, "POISON" in os.environ, oct(os.umask(0)), os.nice(0),
         unittest.TestCase.assertEqual.__name__]
places = ["."] + %r
print(json.dumps([found, [name for place in places for name in os.listdir(place) if name == "%s"]]))
"""
CLEAN = ["[1]", 1, "abc", "math", False, False, "0o22", 0, "assertEqual"]


async def test_a_cell_finds_nothing_of_the_one_before(bench: Bench) -> None:
    token = f"cupel-{secrets.token_hex(8)}"
    # Without walls these are the machine's own.
    places = ["/tmp", "/dev/shm"] if bench.way.walled else []
    await bench.printed(CHANGE % (places, token))
    assert json.loads(await bench.printed(LOOK % (places, token))) == [CLEAN, []]


async def test_cells_at_the_same_time_do_not_see_each_other(walled: Bench) -> None:
    token = secrets.token_hex(8)
    source = f"""
import os, socket, time, json
mine = "{token}-" + os.sys.argv[1]
for folder in (".", "/tmp", "/dev/shm"):
    open(os.path.join(folder, mine), "w").write(mine)
hidden = socket.socket(socket.AF_UNIX); hidden.bind("\\0" + mine); hidden.listen()
loop = socket.socket(); loop.bind(("127.0.0.1", 40123)); loop.listen()
time.sleep(0.5)
seen = [name for folder in (".", "/tmp", "/dev/shm") for name in os.listdir(folder) if name.startswith("{token}")]
unix = [line.split()[-1] for line in open("/proc/net/unix") if "{token}" in line]
print(json.dumps([seen, unix, [int(name) for name in os.listdir("/proc") if name.isdigit()]]))
"""
    tasks = [walled.run(ScriptTask(source, arguments=(str(number),))) for number in range(3)]
    for number, facts in enumerate(await asyncio.gather(*tasks)):
        assert facts.exit_code == 0, facts.error
        mine = f"{token}-{number}"
        assert json.loads(facts.stdout.head) == [[mine] * 3, [f"@{mine}"], [2]]


async def test_output_keeps_head_and_tail_and_counts_the_rest(bench: Bench) -> None:
    source = "import sys; sys.stdout.write('H' * 3000 + '.' * 500_000 + 'T' * 3000); sys.stderr.write('e')"
    facts = await bench.script(source, captured_bytes=4096)
    assert facts.stdout.total_bytes == 506_000
    assert (facts.stdout.head, facts.stdout.tail) == (b"H" * 2048, b"T" * 2048)
    assert (facts.stderr.head, facts.stderr.tail, facts.stderr.total_bytes) == (b"e", b"", 1)


async def test_output_is_bytes(bench: Bench) -> None:
    hostile = bytes(range(256)) + b"\xff\xfe\x1b]0;title\x07\x00"
    facts = await bench.script(f"import sys; sys.stdout.buffer.write({hostile!r})")
    assert facts.stdout.head == hostile


async def test_output_of_a_child_that_is_left_behind_counts_until_the_end(bench: Bench) -> None:
    source = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(1)']); print(2, flush=True)"
    assert await bench.printed(source) == "1\n2\n"


async def test_usage_is_what_was_used(bench: Bench) -> None:
    source = """
import time
held = bytearray(96 << 20)
for at in range(0, len(held), 4096):
    held[at] = 1
while time.process_time() < 0.3:
    pass
"""
    usage = (await bench.script(source)).usage
    cpu_s = (usage.cpu_user + usage.cpu_system).total_seconds()
    assert 0.25 < cpu_s < 10
    assert usage.wall.total_seconds() > 0
    assert 80 << 20 < usage.peak_memory_bytes < 256 << 20


async def test_usage_of_children_counts_whether_waited_for_or_not(bench: Bench) -> None:
    source = """
import os, sys, time
read, write = os.pipe()
for waited in (True, False):
    pid = os.fork()
    if pid == 0:
        while time.process_time() < 0.2:
            pass
        os.write(write, b"x")
        os._exit(0)
    if waited:
        os.waitpid(pid, 0)
os.read(read, 1), os.read(read, 1)
"""
    usage = (await bench.script(source)).usage
    # What nobody waited for is known as of the last look, a tenth of a second before the end at most.
    assert (usage.cpu_user + usage.cpu_system).total_seconds() > 0.25


async def test_many_samples_at_once_are_told_apart(bench: Bench) -> None:
    async def echo(number: int) -> str:
        return await bench.printed(f"print({number})")

    assert await asyncio.gather(*map(echo, range(40))) == [f"{number}\n" for number in range(40)]

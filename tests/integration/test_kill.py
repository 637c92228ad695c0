"""Processes killed in the middle of a run of 2,000 samples: nothing is lost, and nothing counts twice.

Whatever walls stand will do: the samples are this project's own, and these tests are about losing processes.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COUNT = 2000
PROBLEMS = 20
KILLED_AFTER = 200
PASS, FAIL, ERROR = "    return 1\n", "    return 2\n", "    raise OSError\n"
VERDICTS = {PASS: "PASSED", FAIL: "FAILED_ASSERTION", ERROR: "RUNTIME_ERROR"}

pytestmark = pytest.mark.timeout(600)


def completion(number: int) -> str:
    """Returns a sample's program: most pass, each fifth fails, each seventh raises."""
    return FAIL if number % 5 == 0 else ERROR if number % 7 == 0 else PASS


def score(k: int) -> float:
    """Returns pass@k by its definition: the chance that k samples of a problem's are not all failures."""
    each = COUNT // PROBLEMS
    failures = Counter(number % PROBLEMS for number in range(COUNT) if completion(number) != PASS)
    misses = [math.comb(failures[problem], k) / math.comb(each, k) for problem in range(PROBLEMS)]
    return 1 - sum(misses) / PROBLEMS


def environment() -> dict[str, str]:
    """Returns this environment without Cupel's settings, and with no libraries for workers to preload."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CUPEL_")}
    return {**kept, "CUPEL_SANDBOX_PROFILES": "{}"}


class Run:
    """A folder with 2,000 samples, and the command that evaluates them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        problems = [
            {
                "task_id": f"T/{number}",
                "prompt": "def f():\n",
                "entry_point": "f",
                "canonical_solution": PASS,
                "test": "def check(f):\n    assert f() == 1\n",
            }
            for number in range(PROBLEMS)
        ]
        samples = [{"task_id": f"T/{number % PROBLEMS}", "completion": completion(number)} for number in range(COUNT)]
        for name, rows in (("data.jsonl", problems), ("s.jsonl", samples)):
            (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Starts the command."""
        usual = ["--dataset", "humaneval", "--data", "data.jsonl", "--samples", "s.jsonl", "--json"]
        return subprocess.Popen(
            [sys.executable, "-m", "orchestrator", "evaluate", *usual, "--allow-weak-isolation", *words],
            cwd=self.folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def journaled(self) -> int:
        """How many whole outcomes the journal holds."""
        path = self.folder / "s_journal.jsonl"
        return max(path.read_bytes().count(b"\n") - 1, 0) if path.exists() else 0

    def reach(self, count: int, process: subprocess.Popen[str]) -> None:
        """Waits until so many outcomes are in the journal; the test's own timeout bounds it."""
        while self.journaled < count:
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)

    def outcomes(self) -> list[dict[str, Any]]:
        """Returns the rows of the outcomes."""
        return [json.loads(line) for line in (self.folder / "s_outcomes.jsonl").read_text().splitlines()]

    def check(self, process: subprocess.Popen[str]) -> None:
        """Waits for the end, and checks that each sample counts once, with its own verdict, in every file."""
        output, errors = process.communicate()
        assert process.returncode == 0, errors
        printed = json.loads(output)
        expected = Counter(VERDICTS[completion(number)] for number in range(COUNT))
        assert printed["verdicts"] == expected
        assert printed["pass_at_k"]["compat"] == {str(k): pytest.approx(score(k)) for k in (1, 5, 10)}
        rows = self.outcomes()
        assert Counter(row["sample_id"] for row in rows) == {
            f"T/{number % PROBLEMS}#{number // PROBLEMS}": 1 for number in range(COUNT)
        }
        for row in rows:
            number = row["index"] * PROBLEMS + int(row["task_id"].removeprefix("T/"))
            assert row["verdict"] == f"VERDICT_{VERDICTS[completion(number)]}"
        results = json.loads((self.folder / "s_eval_results.json").read_text())["eval"]
        assert {task_id: len(entries) for task_id, entries in results.items()} == {
            f"T/{number}": COUNT // PROBLEMS for number in range(PROBLEMS)
        }
        # The journal has one line for each too: nothing was judged twice to the end.
        assert self.journaled == COUNT


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts sandbox servers on one Unix socket, one after the other."""
    servers: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        words = ["serve", "--listen", f"unix:{tmp_path}/sock", "--allow-weak-isolation"]
        with (tmp_path / f"server{len(servers)}.log").open("w") as log:
            server = subprocess.Popen(
                [sys.executable, "-m", "sandbox_server", *words, "--log-format", "json"],
                cwd=tmp_path,
                env=environment(),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        servers.append(server)
        assert server.stdout is not None
        assert server.stdout.readline().startswith("listening on ")
        return server

    yield start
    for server in servers:
        server.kill()
        server.communicate()


def children(process_id: int) -> list[int]:
    """Returns the children of a process."""
    words = Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()
    return [int(word) for word in words]


def test_kill_9_of_the_embedded_server(run: Run) -> None:
    process = run.start()
    for count in (KILLED_AFTER, 2 * KILLED_AFTER):  # its successor is not spared either
        run.reach(count, process)
        (server,) = children(process.pid)
        os.kill(server, signal.SIGKILL)
    run.check(process)


def test_kill_9_of_the_orchestrator_and_the_same_command_again(run: Run) -> None:
    process = run.start()
    run.reach(KILLED_AFTER, process)
    process.kill()
    process.communicate()
    journaled = run.journaled
    assert KILLED_AFTER <= journaled < COUNT
    before = (run.folder / "s_journal.jsonl").read_bytes()
    again = run.start()
    run.check(again)
    after = (run.folder / "s_journal.jsonl").read_bytes()
    kept = before[: before.rindex(b"\n") + 1]  # without the line that the kill may have cut
    assert after.startswith(kept), "what was judged before the kill was touched"


def test_sigterm_drains_a_server_without_loss(
    run: Run, serve: Callable[[], subprocess.Popen[str]], tmp_path: Path
) -> None:
    first = serve()
    process = run.start("--sandbox", f"unix:{tmp_path}/sock")
    run.reach(KILLED_AFTER, process)
    first.terminate()
    assert first.wait() == 0
    drained = [json.loads(line) for line in (tmp_path / "server0.log").read_text().splitlines()]
    assert [line["left"] for line in drained if line["event"] == "drained"] == [0]
    assert run.journaled < COUNT
    serve()  # what the run is waiting for
    run.check(process)
    # What the first server had taken it answered: none of it was sent twice because it was lost.
    assert not [row for row in run.outcomes() if row["verdict"] == "VERDICT_SANDBOX_ERROR"]


def test_sigterm_of_the_embedded_server(run: Run) -> None:
    process = run.start()
    run.reach(KILLED_AFTER, process)
    (server,) = children(process.pid)
    os.kill(server, signal.SIGTERM)
    run.check(process)

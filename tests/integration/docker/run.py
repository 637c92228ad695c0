"""A whole run of the command: samples enough to be interrupted in the middle, and the count of what came out."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.integration.docker.served import environment

COUNT = 400
PROBLEMS = 10
PASS, FAIL, ERROR = "    return 1\n", "    return 2\n", "    raise OSError\n"
VERDICTS = {PASS: "PASSED", FAIL: "FAILED_ASSERTION", ERROR: "RUNTIME_ERROR"}


def completion(number: int) -> str:
    """Returns a sample's program: most pass, each third fails, each seventh raises."""
    return FAIL if number % 3 == 0 else ERROR if number % 7 == 0 else PASS


def children(process_id: int) -> list[int]:
    """Returns the children of a process."""
    words = Path(f"/proc/{process_id}/task/{process_id}/children").read_text(encoding="ascii").split()
    return [int(word) for word in words]


class Run:
    """A folder with samples, and the command that evaluates them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        problem = {
            "prompt": "def f():\n", "entry_point": "f", "canonical_solution": PASS,
            "test": "def check(f):\n    assert f() == 1\n",
        }  # fmt: skip
        problems = [{"task_id": f"T/{number}", **problem} for number in range(PROBLEMS)]
        samples = [{"task_id": f"T/{number % PROBLEMS}", "completion": completion(number)} for number in range(COUNT)]
        for name, rows in (("data.jsonl", problems), ("s.jsonl", samples)):
            (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    def start(self, *words: str, **variables: str) -> subprocess.Popen[str]:
        """Starts the command."""
        usual = ["--dataset", "humaneval", "--data", "data.jsonl", "--samples", "s.jsonl", "--json"]
        return subprocess.Popen(
            [sys.executable, "-m", "orchestrator", "evaluate", *usual, *words],
            cwd=self.folder,
            env=environment(**variables),
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
        text = (self.folder / "s_outcomes.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def check(self, process: subprocess.Popen[str]) -> None:
        """Waits for the end, and checks that each sample counts once, with its own verdict."""
        output, errors = process.communicate()
        assert process.returncode == 0, errors
        expected = Counter(VERDICTS[completion(number)] for number in range(COUNT))
        assert json.loads(output)["verdicts"] == expected
        rows = self.outcomes()
        assert Counter(row["sample_id"] for row in rows) == {
            f"T/{number % PROBLEMS}#{number // PROBLEMS}": 1 for number in range(COUNT)
        }
        for row in rows:
            number = row["index"] * PROBLEMS + int(row["task_id"].removeprefix("T/"))
            assert row["verdict"] == f"VERDICT_{VERDICTS[completion(number)]}"
        assert self.journaled == COUNT

r"""Bad input as users type it: the message names file, line and field, the exit code is 3, nothing is lost.

A file that cannot be read as a whole is told before anything runs. What only a server can refuse is told after
all others were judged, and those are in the journal.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PASS = "    return 1\n"
PROBLEMS = 4


class Desk:
    """A folder with a small dataset, at which somebody types commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("data.jsonl", [self.problem(number) for number in range(PROBLEMS)])

    def problem(self, number: int) -> dict[str, Any]:
        """Returns a problem's row."""
        return {
            "task_id": f"T/{number}",
            "prompt": "def f():\n",
            "entry_point": "f",
            "canonical_solution": PASS,
            "test": "def check(f):\n    assert f() == 1\n",
        }

    def write(self, name: str, lines: Sequence[dict[str, Any] | str]) -> None:
        """Writes rows, or lines as they are."""
        text = "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
        (self.folder / name).write_text(text)

    def evaluate(self, *words: str, samples: str = "s.jsonl") -> subprocess.CompletedProcess[str]:
        """Runs the command to its end."""
        usual = ["--dataset", "humaneval", "--data", "data.jsonl", "--samples", samples]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CUPEL_")}
        return subprocess.run(
            [sys.executable, "-m", "orchestrator", "evaluate", *usual, "--allow-weak-isolation", *words],
            cwd=self.folder,
            env={**kept, "CUPEL_SANDBOX_PROFILES": "{}"},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def journaled(self) -> int:
        """Returns how many whole outcomes the journal holds."""
        path = self.folder / "s_journal.jsonl"
        return max(path.read_bytes().count(b"\n") - 1, 0) if path.exists() else 0


def sample(number: int, **fields: Any) -> dict[str, Any]:
    """Returns a sample's row."""
    return {"task_id": f"T/{number}", "completion": PASS, **fields}


def without(row: dict[str, Any], field: str) -> dict[str, Any]:
    """Returns a row without a field."""
    return {name: value for name, value in row.items() if name != field}


GOOD = [sample(number) for number in range(PROBLEMS)]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        pytest.param(
            [*GOOD[:3], json.dumps(GOOD[3])[:40]],
            "s.jsonl:4: is not JSON: Unterminated string starting at column 34; is the line cut off?",
            id="truncated-line",
        ),
        pytest.param([GOOD[0], json.dumps(GOOD[1])[:30] + "\n", *GOOD[2:]], "s.jsonl:2: is not JSON", id="broken-line"),
        pytest.param(
            [*GOOD[:2], without(GOOD[2], "task_id"), GOOD[3]],
            "s.jsonl:3: field 'task_id': is missing",
            id="no-task",
        ),
        pytest.param(
            [*GOOD[:2], without(GOOD[2], "completion"), GOOD[3]],
            "s.jsonl:3: field 'solution': and 'completion' are missing",
            id="no-program",
        ),
        pytest.param([sample(0, completion=5), *GOOD[1:]], "s.jsonl:1: field 'completion': must be text", id="no-text"),
        pytest.param(
            [*GOOD, sample(44)], "s.jsonl:5: field 'task_id': humaneval has no problem 'T/44'", id="unknown-task"
        ),
        pytest.param([], "s.jsonl: holds no samples", id="empty-file"),
        pytest.param(["\n", "  \n"], "s.jsonl: holds no samples", id="blank-lines"),
        pytest.param(
            [sample(0, completion_id=0), *GOOD[1:], sample(0, completion_id=0)],
            "s.jsonl:5: field 'completion_id': completion 0 of 'T/0' stands in line 1 already",
            id="duplicate-completion-id",
        ),
        pytest.param(
            [sample(0, sample_id="a"), *GOOD[1:], sample(0, sample_id="a")],
            "s.jsonl:5: field 'sample_id': sample 'a' stands in line 1 already",
            id="duplicate-sample-id",
        ),
        pytest.param(
            [sample(0, limits={"memory": 5}), *GOOD[1:]],
            "s.jsonl:1: field 'limits.memory': means nothing here; did you mean 'memory_bytes'?",
            id="unknown-limit",
        ),
        pytest.param(
            [sample(0, limits={"cpu_time_s": -1}), *GOOD[1:]],
            "s.jsonl:1: field 'limits.cpu_time_s': must be a number above 0",
            id="negative-limit",
        ),
        pytest.param(GOOD[:3], "1 of 4 problems have no samples: T/3", id="missing-problem"),
    ],
)
def test_a_bad_sample_file_is_told_before_anything_runs(
    desk: Desk, lines: Sequence[dict[str, Any] | str], message: str
) -> None:
    desk.write("s.jsonl", lines)
    done = desk.evaluate()
    assert (done.returncode, done.stdout) == (3, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    # Nothing was run, so there is nothing that could be lost, and nothing half-written.
    assert sorted(path.name for path in desk.folder.iterdir()) == ["data.jsonl", "s.jsonl"]


def test_all_faults_of_a_file_are_told_at_once(desk: Desk) -> None:
    desk.write("s.jsonl", [sample(9), without(GOOD[1], "completion"), "{\n", GOOD[3]])
    done = desk.evaluate()
    assert done.returncode == 3
    places = [line.split(" ")[0 if line[0] == "s" else 1] for line in done.stderr.splitlines()]
    assert places == ["s.jsonl:1:", "s.jsonl:2:", "s.jsonl:3:"]


def test_a_mended_file_runs(desk: Desk) -> None:
    desk.write("s.jsonl", [*GOOD[:3], json.dumps(GOOD[3])[:40]])
    assert desk.evaluate().returncode == 3
    desk.write("s.jsonl", GOOD)
    done = desk.evaluate("--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdicts"] == {"PASSED": PROBLEMS}


def test_a_file_that_is_not_there(desk: Desk) -> None:
    done = desk.evaluate(samples="nowhere.jsonl")
    assert done.returncode == 3
    assert "nowhere.jsonl: there is no such file" in done.stderr


def test_a_truncated_gzip_file(desk: Desk) -> None:
    packed = gzip.compress("".join(json.dumps(row) + "\n" for row in GOOD * 50).encode())
    (desk.folder / "s.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    done = desk.evaluate(samples="s.jsonl.gz")
    assert done.returncode == 3
    assert "s.jsonl.gz:" in done.stderr
    assert "the gzip data is broken after line" in done.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"test": None}, "data.jsonl:3: field 'test': is missing", id="missing-field"),
        pytest.param({"entry_point": ["f"]}, "data.jsonl:3: field 'entry_point': must be text", id="no-text"),
        pytest.param({"task_id": "T/0"}, "data.jsonl:3: field 'task_id'", id="duplicate-problem"),
    ],
)
def test_a_bad_dataset(desk: Desk, change: dict[str, Any], message: str) -> None:
    rows = [desk.problem(number) for number in range(PROBLEMS)]
    rows[2].update(change)
    desk.write("data.jsonl", rows)
    desk.write("s.jsonl", GOOD)
    done = desk.evaluate()
    assert (done.returncode, done.stdout) == (3, "")
    assert message in done.stderr


def folder_of_samples(desk: Desk) -> Path:
    """Writes a folder of samples, two for each problem, of which the second fails."""
    root = desk.folder / "written"
    for number in range(PROBLEMS):
        (root / f"T_{number}").mkdir(parents=True)
        for index, value in enumerate((1, 2)):
            (root / f"T_{number}" / f"{index}.py").write_text(f"def f():\n    return {value}\n")
    return root


def test_a_folder_of_samples(desk: Desk) -> None:
    folder_of_samples(desk)
    done = desk.evaluate("--json", samples="written")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdicts"] == {"PASSED": PROBLEMS, "FAILED_ASSERTION": PROBLEMS}


@pytest.mark.parametrize("name", ["T_9/0.py", "T_0/first.py"])
def test_a_folder_with_what_does_not_belong_there(desk: Desk, name: str) -> None:
    path = folder_of_samples(desk) / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("pass\n")
    done = desk.evaluate(samples="written")
    assert done.returncode == 3
    assert name.partition("/")[0] in done.stderr


def test_an_empty_folder(desk: Desk) -> None:
    (desk.folder / "written").mkdir()
    done = desk.evaluate(samples="written")
    assert done.returncode == 3
    assert "written: holds no" in done.stderr


def test_limits_above_the_maximum_cost_only_their_own_samples(desk: Desk) -> None:
    limits = {1: {"memory_bytes": 1 << 50}, 2: {"cpu_time_s": 1e6}}
    desk.write("s.jsonl", [sample(number, limits=limits.get(number)) for number in range(PROBLEMS)])
    done = desk.evaluate()
    assert done.returncode == 3
    assert "2 samples were refused" in done.stderr
    for line, field in ((2, "memory_bytes"), (3, "cpu_time")):
        assert f"s.jsonl:{line}: field 'limits.{field}" in done.stderr
    assert desk.journaled() == PROBLEMS - 2
    assert not (desk.folder / "s_eval_results.json").exists()
    # Once they are mended, they run alone.
    desk.write("s.jsonl", GOOD)
    mended = desk.evaluate("--json")
    assert mended.returncode == 0, mended.stderr
    assert f"{PROBLEMS - 2} of them judged before" in mended.stderr
    assert json.loads(mended.stdout)["verdicts"] == {"PASSED": PROBLEMS}

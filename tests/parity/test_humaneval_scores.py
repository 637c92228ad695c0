"""HumanEval through the whole way: the reference solutions, and what a real model wrote.

Whatever walls stand will do: verdicts must not depend on them.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).parents[2].parent / "shared" / "data"
PROBLEMS = DATA / "humaneval.jsonl.gz"
MODEL = DATA / "qwen2.5-coder-1.5b"

pytestmark = [pytest.mark.data, pytest.mark.timeout(600)]


def evaluate(folder: Path, *words: str) -> dict[str, Any]:
    """Evaluates, and returns what `--json` prints."""
    usual = ["--dataset", "humaneval", "--data", str(PROBLEMS), "--out", str(folder), "--json", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "evaluate", *usual, "--allow-weak-isolation", *words],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("CUPEL_")},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert isinstance(printed, dict)
    return printed


def outcomes(folder: Path) -> dict[str, dict[str, Any]]:
    """Returns the outcomes of a run by problem."""
    (file,) = folder.glob("*_outcomes.jsonl")
    return {row["task_id"]: row for row in map(json.loads, file.read_text().splitlines())}


def test_every_reference_solution_passes(tmp_path: Path) -> None:
    printed = evaluate(tmp_path, "--check-gt-only")
    failed = {
        task_id: row["explanation"] for task_id, row in outcomes(tmp_path).items() if row["verdict"] != "VERDICT_PASSED"
    }
    assert failed == {}
    assert printed["verdicts"] == {"PASSED": 164}
    assert printed["pass_at_k"] == {"compat": {"1": 1.0}, "strict": {"1": 1.0}}


def test_a_real_models_samples_get_the_verdicts_that_the_original_gave(tmp_path: Path) -> None:
    printed = evaluate(tmp_path, "--samples", str(MODEL / "humaneval-generated.jsonl.gz"))
    with gzip.open(MODEL / "humaneval-eval_results.json.gz", "rt", encoding="utf-8") as file:
        recorded = json.load(file)["eval"]
    theirs = {task_id: rows[0]["base_status"] == "pass" for task_id, rows in recorded.items()}
    found = outcomes(tmp_path)
    ours = {task_id: row["compat"].get("passed", False) for task_id, row in found.items()}
    assert len(theirs) == len(ours) == 164
    disagreements = {
        task_id: (found[task_id]["explanation"], recorded[task_id][0]["base_status"])
        for task_id in theirs
        if ours[task_id] != theirs[task_id]
    }
    assert disagreements == {}
    assert sum(ours.values()) == 72
    assert printed["pass_at_k"]["compat"] == {"1": pytest.approx(72 / 164)}

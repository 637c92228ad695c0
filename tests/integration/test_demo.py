"""The demo through the whole way: every sample gets the verdict that its row expects."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from orchestrator.datasets import load
from orchestrator.datasets.demo import samples_path

NEED_WALLS = {"DISK_LIMIT", "PROCESS_LIMIT", "OUT_OF_MEMORY"}
"""Verdicts about limits that a wall enforces, or that a wall keeps from bounding the neighbours too."""


def evaluate(folder: Path, *words: str) -> dict[str, Any]:
    """Evaluates the demo and returns what `--json` prints last."""
    command = [
        sys.executable,
        "-m",
        "orchestrator",
        "evaluate",
        "--dataset",
        "demo",
        "--runtime",
        "local",
        "--allow-weak-isolation",
    ]
    done = subprocess.run(
        [*command, "--json", "--quiet", "--out", str(folder), *words],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("CUPEL_")},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(printed, dict)
    return printed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results of the demo."""
    path = tmp_path_factory.mktemp("demo")
    printed = evaluate(path)
    assert printed["n_problems"] == len(load("demo").problems)
    assert printed["n_samples"] == len(expected())
    return path


def expected() -> dict[str, str]:
    """Returns the verdict that each sample must get, by sample id."""
    counts: Counter[str] = Counter()
    verdicts = {}
    for line in Path(samples_path()).read_text().splitlines():
        row = json.loads(line)
        verdicts[f"{row['task_id']}#{counts[row['task_id']]}"] = row["expect"]
        counts[row["task_id"]] += 1
    return verdicts


def outcomes(folder: Path) -> dict[str, dict[str, Any]]:
    """Returns the outcomes of a run by sample id."""
    (file,) = folder.glob("*_outcomes.jsonl")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    by_id = {row["sample_id"]: row for row in rows}
    assert len(by_id) == len(rows)
    return by_id


def differing(folder: Path, expecting: dict[str, str]) -> dict[str, tuple[str, str, str]]:
    """Returns what is expected, what came and why, for samples where the two differ."""
    came = outcomes(folder)
    return {
        sample_id: (verdict, came[sample_id]["verdict"], came[sample_id].get("explanation", ""))
        for sample_id, verdict in expecting.items()
        if came[sample_id]["verdict"] != f"VERDICT_{verdict}"
    }


def test_verdicts_that_need_no_wall(folder: Path) -> None:
    assert not differing(folder, {one: word for one, word in expected().items() if word not in NEED_WALLS})


@pytest.mark.walls
def test_verdicts_that_need_walls(folder: Path) -> None:
    missing = {wall for outcome in outcomes(folder).values() for wall in outcome.get("missing_walls", ())}
    if missing and not os.environ.get("CI"):
        pytest.skip(f"walls are missing here: {', '.join(sorted(missing))}")
    assert not differing(folder, {one: word for one, word in expected().items() if word in NEED_WALLS})


def test_only_passed_samples_pass(folder: Path) -> None:
    for sample_id, outcome in outcomes(folder).items():
        assert outcome.get("strict", {}).get("passed", False) == (expected()[sample_id] == "PASSED"), sample_id


def test_every_reference_passes(tmp_path: Path) -> None:
    printed = evaluate(tmp_path, "--check-gt-only")
    assert printed["verdicts"] == {"PASSED": len(load("demo").problems)}
    assert printed["pass_at_k"]["strict"]["1"] == 1.0

"""The demo's files, without running them: that is `tests/integration/test_demo.py`."""

from __future__ import annotations

import ast
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from orchestrator.datasets import load, names
from orchestrator.datasets.demo import samples_path
from orchestrator.errors import UsageError
from orchestrator.formats.samples import read_samples

VERDICTS_OF_SAMPLES = {
    "PASSED",
    "FAILED_ASSERTION",
    "WRONG_OUTPUT",
    "RUNTIME_ERROR",
    "SYNTAX_ERROR",
    "IMPORT_MISSING",
    "NO_ENTRY_POINT",
    "TIMEOUT_WALL",
    "TIMEOUT_CPU",
    "OUT_OF_MEMORY",
    "OUTPUT_LIMIT",
    "DISK_LIMIT",
    "PROCESS_LIMIT",
    "KILLED",
    "CRASHED",
    "EXITED_EARLY",
    "POLICY_REJECTED",
    "TAMPERED",
}  # fmt: skip - a list of names


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """The rows of the demo's samples."""
    return [json.loads(line) for line in Path(samples_path()).read_text().splitlines()]


def test_every_verdict_that_a_sample_can_cause_is_expected(rows: list[dict[str, Any]]) -> None:
    assert {row["expect"] for row in rows} == VERDICTS_OF_SAMPLES


def test_every_problem_has_samples_that_pass_and_that_do_not(rows: list[dict[str, Any]]) -> None:
    problems = load("demo").problems
    counts = Counter(row["task_id"] for row in rows)
    assert set(counts) == set(problems)
    assert len(problems) >= 24
    assert set(counts.values()) <= {3, 4, 5, 6}
    passing = Counter(row["task_id"] for row in rows if row["expect"] == "PASSED")
    assert all(1 <= passing[task_id] < counts[task_id] for task_id in problems)


def test_programs_parse_unless_they_are_meant_not_to(rows: list[dict[str, Any]]) -> None:
    dataset = load("demo")
    completions = read_samples(samples_path(), dataset)
    assert len(completions) == len(rows)
    for completion, row in zip(completions, rows, strict=True):
        solution = dataset.sample(completion).solution
        if row["expect"] == "SYNTAX_ERROR":
            with pytest.raises(SyntaxError):
                ast.parse(solution)
        else:
            ast.parse(solution)
    for task_id in dataset.problems:
        ast.parse(dataset.sample(dataset.reference(task_id)).solution)


def test_covers_every_task_kind() -> None:
    dataset = load("demo")
    kinds = Counter(type(dataset.sample(dataset.reference(task_id)).task).__name__ for task_id in dataset.problems)
    assert set(kinds) == {"ScriptTask", "UnittestTask", "FunctionCheckTask", "StdioTask"}


def test_limits_are_small() -> None:
    dataset = load("demo")
    for task_id in dataset.problems:
        limits = dataset.sample(dataset.reference(task_id)).limits
        assert limits.memory_bytes == 256 << 20
        assert limits.disk_bytes == 16 << 20


def test_load_knows_its_names_and_corrects_others(tmp_path: Path) -> None:
    assert names() == ("demo", "humaneval", "bigcodebench")
    with pytest.raises(UsageError, match=r"there is no dataset 'human-eval'; did you mean 'humaneval'\?"):
        load("human-eval")
    with pytest.raises(UsageError, match="known are demo, humaneval, bigcodebench"):
        load("zzz")
    with pytest.raises(UsageError, match="the demo brings its own data"):
        load("demo", data=str(tmp_path))

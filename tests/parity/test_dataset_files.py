"""The files of the public datasets: every row loads, every program parses and is what the original runs."""

from __future__ import annotations

import ast
import gzip
import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from orchestrator.datasets import load
from orchestrator.formats.samples import read_samples
from orchestrator.model import FunctionCheckTask, UnittestTask

DATA = Path(__file__).parents[2].parent / "shared" / "data"
SAMPLES = DATA / "qwen2.5-coder-1.5b"

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not there"),
]


def rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def parse(program: str) -> None:
    """Parses a program of a dataset, some of which hold strange escapes that Python warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        ast.parse(program)


def test_all_of_humaneval() -> None:
    path = DATA / "humaneval.jsonl.gz"
    dataset = load("humaneval", data=str(path))
    originals = rows(path)
    assert list(dataset.problems) == [row["task_id"] for row in originals]
    assert len(originals) == 164
    for row in originals:
        task = dataset.sample(dataset.reference(row["task_id"])).task
        assert isinstance(task, FunctionCheckTask)
        # The original's check program, less the call of check at its end.
        assert task.solution + "\n" + task.check == row["prompt"] + row["canonical_solution"] + "\n" + row["test"]
        parse(task.solution)
        parse(task.check)


def test_all_of_bigcodebench() -> None:
    path = DATA / "bigcodebench.jsonl.gz"
    dataset = load("bigcodebench", data=str(path))
    originals = rows(path)
    assert list(dataset.problems) == [row["task_id"] for row in originals]
    assert len(originals) == 1140
    for row in originals:
        reference = dataset.reference(row["task_id"])
        task = dataset.sample(reference).task
        assert isinstance(task, UnittestTask)
        assert task.solution == row["complete_prompt"] + "\n" + row["canonical_solution"]
        assert task.entry_point == "task_func"
        parse(task.solution + "\n" + task.test)
        assert dataset.problems[row["task_id"]].libraries


def test_the_hard_subset() -> None:
    path = str(DATA / "bigcodebench.jsonl.gz")
    ids = (DATA / "bigcodebench-hard-ids.txt").read_text().split()
    hard = load("bigcodebench", data=path, subset="hard")
    assert set(hard.problems) == set(ids)
    # A condition of the subset that can be checked offline.
    assert all(len(problem.reference) > 426 for problem in hard.problems.values())
    assert len(read_samples(str(SAMPLES / "bigcodebench-hard-samples.jsonl.gz"), hard)) == 148


def test_samples_of_a_real_model() -> None:
    humaneval = load("humaneval", data=str(DATA / "humaneval.jsonl.gz"))
    completions = read_samples(str(SAMPLES / "humaneval-generated.jsonl.gz"), humaneval)
    assert [one.task_id for one in completions] == list(humaneval.problems)
    assert not any(one.is_solution for one in completions)


def test_programs_are_those_that_the_original_recorded() -> None:
    """Its result file repeats the programs that it ran, calibrated."""
    dataset = load("bigcodebench", data=str(DATA / "bigcodebench.jsonl.gz"))
    with gzip.open(SAMPLES / "bigcodebench-full-eval_results.json.gz", "rt", encoding="utf-8") as file:
        recorded = json.load(file)["eval"]
    completions = read_samples(str(SAMPLES / "bigcodebench-full-samples.jsonl.gz"), dataset)
    assert len(completions) == 1140
    for completion in completions:
        assert dataset.sample(completion).solution == recorded[completion.task_id][0]["solution"]

"""Result files are BigCodeBench's to the letter, written whole or not at all."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.errors import CupelError
from orchestrator.formats.results import (
    ResultPaths,
    Row,
    compat_word,
    pass_at_k_record,
    write_eval_results,
    write_pass_at_k,
    writing_outcomes,
)
from orchestrator.model import Result

DATE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def row(task_id: str, index: int = 0, verdict: str = "PASSED", status: str = "pass") -> Row:
    passed = verdict == "PASSED"
    details = {} if passed else {"test_a": "Traceback\n1 ≠ 2"}
    outcome: dict[str, object] = {"sample_id": f"{task_id}#{index}", "verdict": f"VERDICT_{verdict}"}
    result = Result(f"{task_id}#{index}", task_id, index, 1, verdict, "", passed, status, passed, details, outcome)
    return Row(result, f"def f():\n    return {index}")


@pytest.mark.parametrize(
    ("samples", "folder", "stem"),
    [
        ("a/m--bigcodebench-complete.jsonl", "a", "m--bigcodebench-complete"),
        ("m.jsonl.gz", ".", "m"),
        ("a/m.v2.jsonl", "a", "m.v2"),
        ("a/folder/", "a", "folder"),
    ],
)
def test_files_are_named_after_the_samples(samples: str, folder: str, stem: str) -> None:
    paths = ResultPaths.of(samples, None)
    assert (paths.out, paths.stem) == (Path(folder), stem)
    assert ResultPaths.of(samples, Path("out")).eval_results == Path("out") / f"{stem}_eval_results.json"


def test_the_current_folder_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert ResultPaths.of(".", None).stem == tmp_path.name


def test_eval_results_are_what_json_dump_would_write(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    rows = [row("B/0"), row("B/0", 1, "RUNTIME_ERROR", "fail"), row("B/1", 0, "CRASHED", "timeout")]
    write_eval_results(path, rows, DATE)
    expected = {
        "date": "2026-01-02 03:04",
        "eval": {
            task_id: [
                {
                    "task_id": task_id,
                    "solution": one.solution,
                    "status": one.result.compat_status,
                    "details": one.result.details,
                }
                for one in rows
                if one.result.task_id == task_id
            ]
            for task_id in ("B/0", "B/1")
        },
    }
    assert path.read_text() == json.dumps(expected, indent=2)


def test_no_rows_are_an_empty_table(tmp_path: Path) -> None:
    write_eval_results(tmp_path / "r.json", [], DATE)
    assert json.loads((tmp_path / "r.json").read_text())["eval"] == {}


def test_what_the_sandbox_failed_at_is_no_fail(tmp_path: Path) -> None:
    rows = [row("B/0", 0, "SANDBOX_ERROR", "fail"), row("B/0", 1)]
    write_eval_results(tmp_path / "r.json", rows, DATE)
    assert [one["status"] for one in json.loads((tmp_path / "r.json").read_text())["eval"]["B/0"]] == ["pass"]
    assert list(writing_outcomes(tmp_path / "o.jsonl", rows)) == rows
    lines = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert [(line["task_id"], line["index"], line["verdict"]) for line in lines] == [
        ("B/0", 0, "VERDICT_SANDBOX_ERROR"),
        ("B/0", 1, "VERDICT_PASSED"),
    ]


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ("pass", "pass"),
        ("passed", "pass"),
        ("timed out", "timeout"),
        ("timeout", "timeout"),
        ("failed: passed", "fail"),
        ("", "fail"),
    ],
)
def test_every_harness_status_has_a_word_of_bigcodebench(status: str, word: str) -> None:
    assert compat_word(status) == word


def test_pass_at_k_has_bigcodebenchs_keys(tmp_path: Path) -> None:
    record = pass_at_k_record(
        {1: 0.5, 5: 0.75},
        stem="org--model--main--bigcodebench-complete--vllm-0-1-sanitized_calibrated",
        split="complete",
        subset="full",
        calibrated=True,
        failed_references=["B/3"],
        references=4,
    )
    assert record == {
        "pass@1": 0.5,
        "pass@5": 0.75,
        "model": "org--model--main",
        "split": "complete",
        "subset": "full",
        "calibrated": True,
        "gt_pass_rate": 0.75,
        "failed_tasks": ["B/3"],
    }
    write_pass_at_k(tmp_path / "p.json", record)
    assert json.loads((tmp_path / "p.json").read_text()) == record


def test_without_references_nothing_is_claimed_of_them() -> None:
    record = pass_at_k_record(
        {}, stem="m", split="complete", subset="full", calibrated=True, failed_references=None, references=0
    )
    assert record["gt_pass_rate"] is None
    assert record["failed_tasks"] is None


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "o.jsonl"
    path.write_text("old")

    class BrokenError(Exception):
        pass

    def rows() -> object:
        yield row("B/0")
        raise BrokenError

    with pytest.raises(BrokenError):
        write_eval_results(tmp_path / "r.json", writing_outcomes(path, rows()), DATE)  # type: ignore[arg-type] # breaks
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_gone_is_an_error_for_people(tmp_path: Path) -> None:
    with pytest.raises(CupelError, match="journal holds all results"):
        write_pass_at_k(tmp_path / "gone" / "p.json", {})

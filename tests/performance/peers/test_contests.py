"""What the contests make of result files and figures; the contests themselves run by `make bench-peers`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.performance.original import MeasurementError
from tests.performance.peers import table, verdicts
from tests.performance.peers.containers import account_of, seconds_of
from tests.performance.peers.contests import spread_over
from tests.performance.peers.verdicts import Difference, Verdict

if TYPE_CHECKING:
    from pathlib import Path

CONTAINER = "c0ffee" * 8


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_part_of_the_problems_is_spread_over_all_of_them() -> None:
    assert spread_over(range(1140), 4) == [0, 285, 570, 855]
    assert spread_over(range(3), 3) == spread_over(range(3), 9) == spread_over(range(3), None) == [0, 1, 2]


def test_humaneval_results_are_read_in_the_order_of_samples(tmp_path: Path) -> None:
    rows = [("HumanEval/0", True, "passed"), ("HumanEval/1", False, "timed out"), ("HumanEval/0", False, "failed: ")]
    path = write(tmp_path / "x", *({"task_id": name, "passed": good, "result": word} for name, good, word in rows))
    assert verdicts.read_humaneval(path) == {
        "HumanEval/0": [Verdict(True, "passed"), Verdict(False, "failed: ")],
        "HumanEval/1": [Verdict(False, "timed out")],
    }


def test_results_of_evalplus_and_bigcodebench_are_read(tmp_path: Path) -> None:
    row = {"base_status": "pass", "plus_status": None, "status": "timeout"}
    path = write(tmp_path / "x", {"eval": {"A/0": [row]}})
    assert verdicts.read_evalplus(path) == {"A/0": [Verdict(True, "pass")]}
    assert verdicts.read_bigcodebench(path) == {"A/0": [Verdict(False, "timeout")]}


def test_outcomes_are_read_as_the_compat_view_in_the_order_of_indexes(tmp_path: Path) -> None:
    path = write(
        tmp_path / "x",
        {"task_id": "A/0", "index": 1, "verdict": "VERDICT_CRASHED", "compat": {"passed": False}},
        {"task_id": "A/0", "index": 0, "verdict": "VERDICT_EXITED_EARLY", "compat": {"passed": True}},
        {"task_id": "A/1", "index": 0, "verdict": "VERDICT_SANDBOX_ERROR"},
    )
    found = verdicts.read_cupel(path)
    assert found == {
        "A/0": [Verdict(True, "EXITED_EARLY"), Verdict(False, "CRASHED")],
        "A/1": [Verdict(False, "SANDBOX_ERROR")],
    }
    assert verdicts.passes(found) == 1


def test_what_differs_is_named_and_what_nobody_judged_never_agrees() -> None:
    good, bad = Verdict(True, "pass"), Verdict(False, "fail")
    peer = {"A/10": [good], "A/2": [bad], "A/3": [good, bad], "A/4": [bad], "A/5": [good]}
    cupel = {
        "A/10": [Verdict(False, "TIMEOUT_WALL")],
        "A/2": [Verdict(False, "RUNTIME_ERROR")],
        "A/3": [Verdict(True, "PASSED"), Verdict(True, "PASSED")],
        "A/4": [Verdict(False, "SANDBOX_ERROR")],
    }
    assert verdicts.differences(peer, cupel) == [
        Difference("A/3#1", "fail", "PASSED"),
        Difference("A/4", "fail", "SANDBOX_ERROR"),
        Difference("A/5", "pass", "nothing"),
        Difference("A/10", "pass", "TIMEOUT_WALL"),
    ]


def test_one_result_file_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match="has 0 files"):
        verdicts.only(tmp_path, "*_outcomes.jsonl")
    path = write(tmp_path / "a_outcomes.jsonl")
    assert verdicts.only(tmp_path, "*_outcomes.jsonl") == path


@pytest.mark.parametrize("group", [f"/docker/{CONTAINER}", f"/docker/{CONTAINER}/agent"])
def test_a_container_is_accounted_by_version_1(tmp_path: Path, group: str) -> None:
    folder = tmp_path / "cpu,cpuacct" / "docker" / CONTAINER
    folder.mkdir(parents=True)
    (folder / "cpuacct.usage").write_text("1500000000\n")
    account = account_of(f"3:memory:{group}\n2:cpu,cpuacct:{group}\n0::/\n", CONTAINER, tmp_path)
    assert account == folder / "cpuacct.usage"
    assert seconds_of(account.read_text()) == 1.5


def test_a_container_is_accounted_by_version_2(tmp_path: Path) -> None:
    group = f"system.slice/docker-{CONTAINER}.scope"
    (tmp_path / group).mkdir(parents=True)
    (tmp_path / group / "cpu.stat").write_text("nr_periods 1\nusage_usec 2500000\nuser_usec 1\n")
    account = account_of(f"0::/{group}\n", CONTAINER, tmp_path)
    assert account is not None
    assert seconds_of(account.read_text()) == 2.5


def test_a_process_outside_of_the_container_is_not_accounted(tmp_path: Path) -> None:
    assert account_of("2:cpuacct:/user.slice\n0::/user.slice\n", CONTAINER, tmp_path) is None


def contest(*rounds: dict[str, Any]) -> dict[str, Any]:
    return {
        "at": "2026-01-02T03:04:05+00:00", "machine": "2 CPUs", "title": "Sums", "limits": "3 s", "note": "Loud",
        "problems": [100, 1140], "samples": 100, "contestants": {"peer": "theirs", "cupel-docker": "cupel"},
        "rounds_wanted": 2, "rounds": list(rounds),
    }  # fmt: skip


def run(wall_s: float, cpu_s: float, passed: int, *differing: list[str]) -> dict[str, Any]:
    return {
        "wall_s": wall_s,
        "results_s": wall_s / 2,
        "cpu_s": cpu_s,
        "passed": passed,
        "load_before": 0.5,
        "differences": list(differing),
    }


def test_ratios_are_those_of_runs_beside_each_other() -> None:
    first = {"peer": run(10, 20, 99), "cupel-docker": run(5, 5, 100, ["A/1", "fail", "PASSED"])}
    second = {"peer": run(40, 20, 99), "cupel-docker": run(10, 10, 100, ["A/1", "timeout", "PASSED"])}
    found = contest(first, second)
    assert table.rows(found) == [
        ("theirs", "25.0 (10.0 to 40.0)", "1", "12.5 (5.0 to 20.0)", "1", "6.2 (2.5 to 10.0)",
         "20.0 (20.0 to 20.0)", "1", "99", ""),
        ("cupel", "7.5 (5.0 to 10.0)", "3.00 (2.00 to 4.00)", "3.8 (2.5 to 5.0)", "3.00 (2.00 to 4.00)",
         "15.0 (10.0 to 20.0)", "7.5 (5.0 to 10.0)", "3.00 (2.00 to 4.00)", "100", "1"),
    ]  # fmt: skip
    assert table.unlike(found) == [("A/1", "fail or timeout", "PASSED")]


def test_a_part_and_missing_rounds_are_said_in_every_form() -> None:
    found = {"sums": contest({"peer": run(10, 20, 99), "cupel-docker": run(5, 5, 99, ["A/1", "a\nb|c", "PASSED"])})}
    said = "Sums: only 100 of 1140 problems, evenly spread, 100 samples, 1 round of 2"
    assert said in table.plain(found)
    assert "A/1; peer: a b|c; cupel-docker: PASSED" in table.plain(found)
    text = table.markdown(found)
    assert f"### {said}\n2026-01-02, 2 CPUs; limits: 3 s; load before: 0.5 to 0.5. Loud." in text
    assert "| cupel | 5.0 | 2.00 | 2.5 | 2.00 | 20.0 | 5.0 | 4.00 | 99 | 1 |" in text
    assert "| A/1 | a b\\|c | PASSED |" in text
    assert table.for_terminal(found).row_count == 3

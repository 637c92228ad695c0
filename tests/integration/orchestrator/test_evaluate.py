"""`cupel evaluate` from outside: files, output, exit codes, interruptions. The server answers by rote."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.integration.orchestrator.conftest import Workplace

    Rote = Callable[..., str]

PASS, FAIL, LIES, BROKEN = "    return 1", "    # fail", "    # lies", "    # sandbox-error"


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Waits until something is so; the test's own timeout bounds it."""
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def test_a_run_leaves_its_files_and_prints_its_scores(workplace: Workplace, rote: Rote) -> None:
    workplace.samples([PASS, PASS, FAIL, LIES, PASS, PASS])
    done = workplace.evaluate("--sandbox", rote(), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.pop("wall_s") > 0
    assert found == {
        "pass_at_k": {"compat": {"1": 5 / 6}, "strict": {"1": pytest.approx(4 / 6)}},
        "n_problems": 6,
        "n_samples": 6,
        "verdicts": {"PASSED": 4, "FAILED_ASSERTION": 1, "TAMPERED": 1},
    }
    results = workplace.json("s_eval_results.json")["eval"]
    assert [rows[0]["status"] for rows in results.values()] == [
        "pass",
        "pass",
        "fail",
        "pass",
        "pass",
        "pass",
    ]
    assert results["T/2"] == [
        {"task_id": "T/2", "solution": "def f():\n" + FAIL, "status": "fail", "details": {"check": "no"}}
    ]
    record = workplace.json("s_pass_at_k.json")
    assert (record["pass@1"], record["model"], record["gt_pass_rate"]) == (5 / 6, "s", None)
    assert [row["verdict"] for row in workplace.outcomes()].count("VERDICT_PASSED") == 4
    assert "cgroup" in done.stderr
    assert "zero tests" in done.stderr
    assert "\x1b" not in done.stderr


def test_several_samples_of_a_problem_and_the_table_on_standard_output(workplace: Workplace, rote: Rote) -> None:
    workplace.samples([(number, text) for number in range(6) for text in (PASS, FAIL, PASS)])
    done = workplace.evaluate("--sandbox", rote(), "--pass-k", "1,2,5", "--quiet")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert re.search(r"pass@1\D+66\.7", done.stdout)
    assert re.search(r"pass@2\D+100\.0", done.stdout)
    assert "pass@5" not in workplace.json("s_pass_at_k.json")


def test_references_run_alone_or_beside(workplace: Workplace, rote: Rote) -> None:
    address = rote()
    alone = workplace.evaluate("--sandbox", address, "--check-gt-only", "--json", samples=None)
    assert alone.returncode == 0, alone.stderr
    assert json.loads(alone.stdout)["verdicts"] == {"PASSED": 6}
    assert (workplace.folder / "results" / "humaneval-reference_eval_results.json").exists()
    workplace.samples([FAIL] * 6)
    beside = workplace.evaluate("--sandbox", address, "--gt", "--json")
    assert json.loads(beside.stdout)["verdicts"] == {"FAILED_ASSERTION": 6}
    assert workplace.json("s_pass_at_k.json")["gt_pass_rate"] == 1.0
    assert len(workplace.outcomes()) == 6


def test_sandbox_errors_are_masked_and_told(workplace: Workplace, rote: Rote) -> None:
    workplace.samples([(number, text) for number in range(6) for text in (PASS, BROKEN if number == 2 else PASS)])
    address = rote()
    done = workplace.evaluate("--sandbox", address, "--json")
    assert done.returncode == 5
    found = json.loads(done.stdout)
    assert found["pass_at_k"]["compat"]["1"] == 1.0
    assert found["verdicts"]["SANDBOX_ERROR"] == 1
    assert len(workplace.json("s_eval_results.json")["eval"]["T/2"]) == 1
    # The same command tries them again, and only them.
    before = workplace.journaled()
    assert workplace.evaluate("--sandbox", address).returncode == 5
    assert workplace.journaled() == before + 1


def test_bad_input_names_its_place_and_loses_nothing(workplace: Workplace, rote: Rote) -> None:
    workplace.samples([PASS, "    # refuse", PASS, PASS, FAIL, "    # refuse"])
    address = rote()
    done = workplace.evaluate("--sandbox", address)
    assert done.returncode == 3
    for line in (2, 6):
        assert f"s.jsonl:{line}: field 'limits.memory_bytes': refused (LIMIT_ABOVE_MAXIMUM)" in done.stderr
    assert workplace.journaled() == 4
    assert not (workplace.folder / "s_eval_results.json").exists()
    workplace.samples([PASS, PASS, PASS, PASS, FAIL, PASS])
    mended = workplace.evaluate("--sandbox", address, "--json")
    assert mended.returncode == 0, mended.stderr
    assert workplace.journaled() == 6
    assert json.loads(mended.stdout)["verdicts"] == {"PASSED": 5, "FAILED_ASSERTION": 1}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--colour",), 2, "No such option"),
        (("--pass-k", "0"), 2, "--pass-k: every k is at least 1"),
        (("--sandbox", "nowhere"), 2, "neither unix:PATH nor host:port"),
        (("--only-tasks", "99"), 2, "no problem '99'"),
        (("--sandbox", "unix:none"), 4, "no sandbox server answers"),
        (("--data", "none.jsonl"), 3, "none.jsonl"),
        (("--python", "/nonexistent/python"), 4, "s_sandbox.log"),
    ],
)
def test_what_goes_wrong_has_its_exit_code(
    workplace: Workplace, words: tuple[str, ...], code: int, message: str
) -> None:
    workplace.samples([PASS] * 6)
    done = workplace.evaluate(*words)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr or code == 4
    assert done.stdout == ""


def test_an_environment_that_nobody_has_is_named(workplace: Workplace, rote: Rote) -> None:
    workplace.samples([PASS] * 6)
    done = workplace.evaluate("--sandbox", rote(), "--environment", "moon")
    assert done.returncode == 4
    assert "'moon'; there are: local" in done.stderr


def test_missing_problems_take_a_word(workplace: Workplace, rote: Rote) -> None:
    workplace.samples([PASS, PASS])
    address = rote()
    refused = workplace.evaluate("--sandbox", address)
    assert refused.returncode == 3
    assert "4 of 6 problems have no samples: T/2, T/3, T/4, T/5" in refused.stderr
    for words, count in ((("--partial",), 2), (("--only-tasks", "1,5"), 1), (("--id-range", "0-2"), 2)):
        done = workplace.evaluate("--sandbox", address, "--json", *words)
        assert json.loads(done.stdout)["n_problems"] == count, done.stderr


def test_results_of_another_run_are_never_overwritten(workplace: Workplace, rote: Rote) -> None:
    workplace.samples([PASS] * 6)
    address = rote()
    assert workplace.evaluate("--sandbox", address).returncode == 0
    other = workplace.evaluate("--sandbox", address, "--seed", "1")
    assert other.returncode == 2
    assert "seed was 0, is 1" in other.stderr
    workplace.samples([FAIL] * 6)
    assert "other samples" in workplace.evaluate("--sandbox", address).stderr
    (workplace.folder / "s_journal.jsonl").unlink()
    unknown = workplace.evaluate("--sandbox", address)
    assert unknown.returncode == 2
    assert "--no-resume" in unknown.stderr
    anew = workplace.evaluate("--sandbox", address, "--no-resume")
    assert anew.returncode == 0, anew.stderr
    assert workplace.json("s_pass_at_k.json")["pass@1"] == 0.0
    assert workplace.json("s_pass_at_k.json.bak")["pass@1"] == 1.0


def test_a_finished_run_is_told_again_without_a_server(workplace: Workplace, rote: Rote) -> None:
    workplace.samples([PASS, FAIL] * 3)
    first = workplace.evaluate("--sandbox", rote(), "--json")
    again = workplace.evaluate("--sandbox", "unix:none", "--json")
    assert again.returncode == 0, again.stderr
    one, other = json.loads(first.stdout), json.loads(again.stdout)
    del one["wall_s"], other["wall_s"]
    assert one == other


def test_two_runs_never_write_one_journal(workplace: Workplace, rote: Rote) -> None:
    workplace.samples([PASS] * 6)
    with (workplace.folder / "s_journal.jsonl").open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        done = workplace.evaluate("--sandbox", rote())
    assert done.returncode == 2
    assert "another run" in done.stderr


def finish(workplace: Workplace, address: str, count: int, judged_before: int) -> dict[str, Any]:
    """Runs to the end and checks that everything counts once and nothing was judged twice."""
    done = workplace.evaluate("--sandbox", address, "--json")
    assert done.returncode == 0, done.stderr
    assert f"{judged_before} of them judged before" in done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["verdicts"] == {"PASSED": count}
    assert len({(row["task_id"], row["index"]) for row in workplace.outcomes()}) == count
    assert workplace.journaled() == count
    return found


def test_kill_9_loses_only_what_was_in_flight(workplace: Workplace, rote: Rote) -> None:
    workplace.samples([(number % 6, PASS) for number in range(120)])
    address = rote(0.02)
    process = workplace.start("--sandbox", address)
    wait_for(lambda: workplace.journaled() >= 10, process)
    process.kill()
    process.communicate()
    journaled = workplace.journaled()
    assert 10 <= journaled < 120
    with (workplace.folder / "s_journal.jsonl").open("ab") as stream:
        stream.write(b'{"sample_id":"T/0#0","dig')  # as if the kill had come in the middle of a write
    assert finish(workplace, address, 120, journaled)["n_samples"] == 120


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_keeps_the_journal_and_says_how_to_go_on(
    workplace: Workplace, rote: Rote, number: signal.Signals
) -> None:
    workplace.samples([(number % 6, PASS) for number in range(120)])
    address = rote(0.02)
    process = workplace.start("--sandbox", address)
    wait_for(lambda: workplace.journaled() >= 5, process)
    process.send_signal(number)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "the same command continues the run" in errors
    assert "Traceback" not in errors
    assert not (workplace.folder / "s_eval_results.json").exists()
    finish(workplace, address, 120, workplace.journaled())


def test_the_second_interruption_ends_at_once(workplace: Workplace, rote: Rote) -> None:
    workplace.samples([PASS, "    # hang", PASS, PASS, PASS, PASS])
    process = workplace.start("--sandbox", rote())
    wait_for(lambda: workplace.journaled() >= 5, process)
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGINT)
    process.communicate()
    assert process.returncode == 130


def test_a_server_killed_under_a_run_is_replaced_by_another(workplace: Workplace, rote: Rote) -> None:
    workplace.samples([(number % 6, "    # kill-server" if number == 50 else PASS) for number in range(100)])
    done = workplace.evaluate("--sandbox", f"{rote()},{rote()},{rote()},{rote()}", "--json")
    assert done.returncode == 5, done.stderr
    assert json.loads(done.stdout)["verdicts"] == {"PASSED": 99, "SANDBOX_ERROR": 1}


def test_when_all_servers_are_gone_what_was_judged_is_kept(workplace: Workplace, rote: Rote) -> None:
    workplace.samples([PASS, PASS, PASS, "    # kill-server", PASS, PASS])
    process = workplace.start("--sandbox", rote(), environment={"CUPEL_PATIENCE_S": "0.3"})
    _, errors = process.communicate()
    assert process.returncode == 4
    assert re.search(r"gave up.*\n.*\d of 6 samples are judged", errors)

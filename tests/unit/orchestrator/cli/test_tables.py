"""The table tells all that a reader of a score should know, and nothing that a terminal would act on."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from orchestrator.cli.tables import as_json, print_report
from orchestrator.formats.results import ResultPaths
from orchestrator.model import Result
from orchestrator.run import References, Report
from orchestrator.scoring import summarize


def result(task: int, index: int, verdict: str, *, compat: bool, strict: bool, reason: str = "") -> Result:
    outcome: dict[str, object] = {"strict": {"reasons": [reason]}} if reason else {}
    return Result(f"T/{task}#{index}", f"T/{task}", index, 1, verdict, "", compat, "", strict, {}, outcome)


def report() -> Report:
    results = [
        result(0, 0, "PASSED", compat=True, strict=True),
        result(1, 0, "TAMPERED", compat=True, strict=False, reason="zero \x1b[2Jtests [red]"),
        result(2, 0, "SANDBOX_ERROR", compat=False, strict=False),
    ]
    return Report(
        summary=summarize(results, (1, 5)),
        references=References(3, ["T/2"]),
        paths=ResultPaths(Path("out"), "s"),
        wall_s=2.0,
        fresh=4,
        fresh_scored=2,
        missing_walls={"seccomp": 3},
        environments={"local (d1)": 2, "local (d2)": 1},
    )


def test_the_object_has_its_fixed_keys() -> None:
    assert as_json(report()) == {
        "pass_at_k": {"compat": {"1": 1.0}, "strict": {"1": 0.5}},
        "n_problems": 3,
        "n_samples": 3,
        "verdicts": {"PASSED": 1, "TAMPERED": 1, "SANDBOX_ERROR": 1},
        "wall_s": 2.0,
    }


def test_the_table_tells_all() -> None:
    stream = io.StringIO()
    print_report(Console(file=stream, width=100), report())
    shown = stream.getvalue()
    for words in (
        "pass@1   100.0 % (",
        "50.0 % (",
        "SANDBOX_ERROR         1",
        "left out: pass@5: ",
        "the views differ in 1 sample (1 pass in compat alone):\n",
        "  T/1#0: TAMPERED: zero \\x1b[2Jtests [red]",
        "SANDBOX_ERROR: the sandbox failed at 1 samples (T/2#0)",
        "without any judged sample: T/2",
        "reference solutions: 2 of 3 pass; not: T/2",
        "WALL MISSING: seccomp, for 3 samples",
        "samples ran in 2 environments: local (d1), local (d2)",
        "3 samples of 3 problems, 1 of them judged before: 2.0 s, 2.0 samples/s",
        "out/s_eval_results.json",
    ):
        assert words in shown, words
    assert "\x1b" not in shown

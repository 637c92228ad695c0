"""Samples that need no run: they do not parse, or the policy rejects them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sandbox_server.model import (
    Finding,
    FunctionCheckTask,
    Policy,
    ScriptTask,
    StdioCase,
    StdioTask,
    SyntaxFault,
    TestStatus,
    UnittestTask,
    Verdict,
)
from sandbox_server.screening import screen
from sandbox_server.verdict import before_run

UNITTEST = UnittestTask(
    "def task_func(): return 1",
    "import unittest\nclass TestCases(unittest.TestCase):\n    def test_a(self): pass\n",
)
CHECK = FunctionCheckTask("def f(): return 1", "f", "def check(candidate): pass")
CASES = (StdioCase(b"", b"1"),)


def test_what_parses_and_breaks_no_rule_must_run() -> None:
    for policy in Policy:
        assert before_run(UNITTEST, policy, screen(UNITTEST)) is None
    without = replace(UNITTEST, entry_point="other")
    assert not screen(without).entry_point_found
    assert before_run(without, Policy.STRICT, screen(without)) is None


@pytest.mark.parametrize("policy", list(Policy))
def test_a_syntax_error_needs_no_run(policy: Policy) -> None:
    for task, status in (
        (replace(UNITTEST, solution="x = 1\nx = ("), "fail"),
        (replace(CHECK, solution="x = 1\nx = ("), "failed: '(' was never closed (<string>, line 2)"),
        (ScriptTask("x = 1\nx = ("), "fail"),
        (StdioTask("x = 1\nx = (", CASES), "fail"),
    ):
        judgement = before_run(task, policy, screen(task))
        assert judgement is not None
        assert judgement.verdict is Verdict.SYNTAX_ERROR
        assert judgement.explanation == "Does not parse: '(' was never closed (line 2, column 5)"
        assert judgement.compat_status == status
        assert not judgement.compat_passed
        assert not judgement.strict_passed
        assert judgement.strict_reasons == (judgement.explanation,)
        assert {result.status for result in judgement.results} <= {TestStatus.NOT_RUN}


def test_the_words_of_a_syntax_error_are_those_of_the_original() -> None:
    for source in ("x = (", "def f(:", "return", "x = 1\0", "x = '\ud800'"):
        with pytest.raises((SyntaxError, ValueError)) as original:
            exec(source, {})
        task = replace(CHECK, solution=source)
        judgement = before_run(task, Policy.PERMISSIVE, screen(task))
        assert judgement is not None
        assert judgement.compat_status == f"failed: {original.value}"


def test_a_fault_found_by_another_python_counts_as_well() -> None:
    screening = replace(screen(UNITTEST), syntax_fault=SyntaxFault("invalid syntax", 3, 1))
    judgement = before_run(UNITTEST, Policy.PERMISSIVE, screening)
    assert judgement is not None
    assert judgement.verdict is Verdict.SYNTAX_ERROR


def test_only_the_strict_policy_rejects() -> None:
    for task, status in (
        (replace(UNITTEST, solution="import socket\nimport os\nos._exit(0)"), "fail"),
        (replace(CHECK, solution="import socket\nimport os\nos._exit(0)"), "failed: refused by policy"),
    ):
        screening = screen(task)
        assert before_run(task, Policy.PERMISSIVE, screening) is None
        judgement = before_run(task, Policy.STRICT, screening)
        assert judgement is not None
        assert judgement.verdict is Verdict.POLICY_REJECTED
        assert "os._exit (line 3)" in judgement.explanation
        assert (judgement.compat_passed, judgement.compat_status) == (False, status)
    reported_only = replace(screen(UNITTEST), findings=(Finding("n", "m", 1, 1, rejects=False),))
    assert before_run(UNITTEST, Policy.STRICT, reported_only) is None

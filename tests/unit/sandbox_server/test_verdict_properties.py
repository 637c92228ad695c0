"""What holds of every judgement, whatever the facts."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox_server.model import (
    Facts,
    FunctionCheckTask,
    Judgement,
    Limit,
    Limits,
    RaisedError,
    SandboxFault,
    Screening,
    ScriptTask,
    Stage,
    StdioTask,
    Task,
    TestResult,
    TestStatus,
    UnittestTask,
    Verdict,
)
from sandbox_server.verdict import judge, scrub

_NAMES = st.one_of(st.sampled_from(["test_a", "test_b", "check", "case 0", "TestCases)"]), st.text(max_size=8))
_TEXTS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            "Traceback\nMemoryError",
            "ModuleNotFoundError: x",
            "SystemExit: 0",
            "\x1b[31m",
            "\ud800",
            "a\n\n",
            "_." * 99,
        ]
    ),
)
_RESULTS = st.builds(
    TestResult,
    test_id=_NAMES,
    status=st.sampled_from(TestStatus),
    detail=_TEXTS,
    message=_TEXTS,
    duration=st.just(timedelta(0)),
)
_ERRORS = st.builds(
    RaisedError,
    type_name=st.one_of(st.sampled_from(["ModuleNotFoundError", "SystemExit", "MemoryError", "a.B"]), _TEXTS),
    message=_TEXTS,
    kind=st.sampled_from(["error", "syntax", "entry_point"]),
)
_FACTS = st.builds(
    Facts,
    stage=st.sampled_from(Stage),
    exit_code=st.one_of(st.none(), st.sampled_from([0, 1, 255])),
    exit_signal=st.one_of(st.none(), st.none(), st.integers(1, 64)),
    limit=st.one_of(st.none(), st.none(), st.sampled_from(Limit)),
    error=st.one_of(st.none(), _ERRORS),
    results=st.lists(_RESULTS, max_size=4).map(tuple),
    reported_tests=st.one_of(st.none(), st.lists(_NAMES, max_size=4).map(tuple)),
    tampering=st.lists(_TEXTS, max_size=1).map(tuple),
    integrity=st.lists(_TEXTS, max_size=1).map(tuple),
    refused_resources=st.lists(st.sampled_from(["disk", "processes", "memory"]), max_size=2).map(tuple),
    cancelled=st.sampled_from([False, False, True]),
    sandbox_fault=st.one_of(st.none(), st.none(), st.builds(SandboxFault, reason=_TEXTS, message=_TEXTS)),
)
_TEST_SOURCE = "import unittest\nclass TestCases(unittest.TestCase):\n  def test_a(self): self.skipTest('x')\n"
_TASKS = st.sampled_from(
    [
        UnittestTask("", _TEST_SOURCE),
        UnittestTask("", "TestCases = 1"),
        FunctionCheckTask("", "f", "check = 1"),
        ScriptTask(""),
        StdioTask("", ()),
    ]
)
_SCREENINGS = st.builds(
    Screening,
    syntax_fault=st.none(),
    entry_point_found=st.booleans(),
    findings=st.just(()),
    declared_tests=st.one_of(st.none(), st.lists(_NAMES, max_size=3, unique=True).map(tuple)),
)
_GOOD = Facts(
    stage=Stage.COMPLETE,
    exit_code=0,
    results=(TestResult("test_a", TestStatus.PASSED),),
    reported_tests=("test_a",),
)
_FIELDS = [field.name for field in fields(Facts)]
# Good facts with one field at most as it comes, so that each condition of a pass is met and broken alone.
_NEARLY_GOOD = st.builds(
    lambda odd, name: replace(_GOOD, **{name: getattr(odd, name)}), _FACTS, st.sampled_from(_FIELDS)
)
_WORDS = {
    UnittestTask: re.compile("pass|fail|timeout"),
    FunctionCheckTask: re.compile("passed|timed out|failed: .*", re.DOTALL),
    ScriptTask: re.compile("pass|fail|timeout"),
    StdioTask: re.compile("pass|fail|timeout"),
}


def check(task: Task, screening: Screening, facts: Facts) -> Judgement:
    judgement = judge(task, Limits(), screening, facts)
    assert judgement.strict_passed == (judgement.verdict is Verdict.PASSED)
    assert _WORDS[type(task)].fullmatch(judgement.compat_status)
    assert judgement.compat_passed == (judgement.compat_status in {"pass", "passed"})
    assert judgement.explanation.isprintable()
    assert 0 < len(judgement.explanation) <= 500
    assert judgement.strict_passed or judgement.strict_reasons
    assert all(reason.isprintable() for reason in judgement.strict_reasons)
    judgement.compat_status.encode()
    if facts.sandbox_fault is not None:
        assert judgement.verdict is Verdict.SANDBOX_ERROR
    if judgement.verdict in {Verdict.SANDBOX_ERROR, Verdict.CANCELLED}:
        assert not judgement.compat_passed
    if judgement.strict_passed:
        check_pass(task, screening, facts)
    return judgement


def check_pass(task: Task, screening: Screening, facts: Facts) -> None:
    """What a pass rests on, said a second time and in other words than the rows of precedence."""
    assert (facts.exit_code, facts.exit_signal, facts.limit, facts.error) == (0, None, None, None)
    assert not facts.tampering
    assert not facts.cancelled
    if isinstance(task, ScriptTask):
        return
    if not isinstance(task, StdioTask):
        assert facts.stage is Stage.COMPLETE
    statuses = {result.test_id: result.status for result in facts.results}
    declared = screening.declared_tests
    names = set(declared if declared is not None else facts.reported_tests or ())
    assert set(statuses) == names
    assert TestStatus.PASSED in statuses.values()
    assert set(statuses.values()) <= {TestStatus.PASSED, TestStatus.SKIPPED}
    assert {name for name, status in statuses.items() if status is TestStatus.SKIPPED} <= {"test_a"}


@settings(deadline=None, max_examples=400)
@given(_TASKS, _SCREENINGS, _FACTS)
def test_no_facts_break_the_judgement(task: Task, screening: Screening, facts: Facts) -> None:
    check(task, screening, facts)


@settings(deadline=None, max_examples=400)
@given(_TASKS, st.sampled_from([("test_a",), None]), _NEARLY_GOOD)
def test_one_odd_fact_is_enough_not_to_pass(task: Task, declared: tuple[str, ...] | None, facts: Facts) -> None:
    screening = Screening(None, entry_point_found=True, findings=(), declared_tests=declared)
    check(task, screening, facts)


@given(_TASKS, _FACTS)
@settings(deadline=None)
def test_the_same_facts_give_the_same_judgement(task: Task, facts: Facts) -> None:
    screening = Screening(None, entry_point_found=True, findings=(), declared_tests=None)
    assert check(task, screening, facts) == check(task, screening, facts)


@settings(deadline=None)
@given(st.text(max_size=300), st.integers(4, 60))
def test_scrubbed_text_is_printable_short_and_stays(text: str, maximum: int) -> None:
    shown = scrub(text, maximum)
    assert shown.isprintable()
    assert len(shown) <= maximum
    assert scrub(shown, maximum) == shown


def test_scrubbing_takes_out_what_terminals_obey() -> None:
    assert scrub("a\x1b[1;31mb\x1b[0m c") == "ab c"
    assert scrub("a\x1b]0;title\x07b\x1b]8;;http://x\x1b\\c") == "abc"
    assert scrub("a\x9b2Jb\x90q\x9cc") == "abc"
    assert scrub("a\u202eb\u2066c\ud800d") == "a b c d"
    assert scrub(" a \r\n\t b ") == "a b"
    assert scrub("x" * 1_000_000, 10) == "xxxxxxx..."
    assert scrub("\x1b]" * 100_000, 10) == ""

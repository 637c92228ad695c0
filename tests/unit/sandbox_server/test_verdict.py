"""The whole precedence, row by row, and what each kind of ending means in both views."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sandbox_server.model import (
    Facts,
    FunctionCheckTask,
    Judgement,
    Limit,
    Limits,
    RaisedError,
    SandboxFault,
    ScriptTask,
    Stage,
    StdioCase,
    StdioTask,
    Task,
    TestResult,
    TestStatus,
    UnittestTask,
    Verdict,
)
from sandbox_server.screening import screen
from sandbox_server.verdict import judge

PASSED, FAILED, ERROR = TestStatus.PASSED, TestStatus.FAILED, TestStatus.ERROR
LIMITS = Limits(cpu_time=timedelta(seconds=2.5), disk_bytes=16 << 20, processes=7)

UNITTEST = UnittestTask(
    "def task_func(): return 1",
    "import unittest\nclass TestCases(unittest.TestCase):\n    def test_a(self): pass\n    def test_b(self): pass\n",
)
CHECK = FunctionCheckTask("def f(): return 1", "f", "def check(candidate): pass")
SCRIPT = ScriptTask("x = 1")
STDIO = StdioTask("x = 1", (StdioCase(b"", b"1"), StdioCase(b"", b"2")))

DONE: dict[str, Any] = {"stage": Stage.COMPLETE, "exit_code": 0}


def error(name: str, message: str = "words", kind: str = "error") -> RaisedError:
    return RaisedError(name, message, f"Traceback ...\n{name}: {message}\n", kind=kind)


def results(**statuses: TestStatus) -> dict[str, Any]:
    """Facts of a complete report; a test that failed says so as unittest does."""
    words = {FAILED: "Traceback ...\nAssertionError: 1 != 2\n", ERROR: "Traceback ...\nValueError: words\n"}
    found = tuple(TestResult(name, status, words.get(status, ""), message="words") for name, status in statuses.items())
    return {**DONE, "reported_tests": tuple(statuses), "results": found}


def raised(last_line: str, **facts: Any) -> Facts:
    """Facts of a complete report in which `test_a` raised."""
    failing = TestResult("test_a", ERROR, f"Traceback ...\n{last_line}\n", message="words")
    return Facts(
        **DONE,
        reported_tests=("test_a", "test_b"),
        results=(failing, TestResult("test_b", PASSED)),
        **facts,
    )


ALL_PASS = Facts(**results(test_a=PASSED, test_b=PASSED))


def judged(task: Task, facts: Facts) -> Judgement:
    return judge(task, LIMITS, screen(task), facts)


def of_tests(test: str, **statuses: TestStatus) -> Judgement:
    """Judges a complete report of other tests."""
    return judged(replace(UNITTEST, test=test), Facts(**results(**statuses)))


def facts_of_all(**more: Any) -> Facts:
    return replace(ALL_PASS, **more)


def test_all_declared_tests_passed_is_a_pass_in_both_views() -> None:
    judgement = judged(UNITTEST, ALL_PASS)
    assert judgement == Judgement(
        verdict=Verdict.PASSED,
        explanation="Passed 2 tests.",
        compat_passed=True,
        compat_status="pass",
        strict_passed=True,
        strict_reasons=(),
        results=ALL_PASS.results,
    )


# Every row has its part in this; taking the first one's away lets the next one decide.
_EVERYTHING = Facts(
    sandbox_fault=SandboxFault("WORKER_LOST", "gone"),
    cancelled=True,
    tampering=("a message with a wrong nonce",),
    limit=Limit.CPU,
    exit_signal=11,
    exit_code=None,
    error=error("ValueError"),
    stage=Stage.TESTING,
    reported_tests=("test_a", "test_c"),
    results=(TestResult("test_a", FAILED, "AssertionError: no"), TestResult("test_c", PASSED)),
    integrity=("after loading: TestCase.assertEqual",),
)
_TAKEN_AWAY: list[tuple[Verdict, dict[str, Any]]] = [
    (Verdict.SANDBOX_ERROR, {"sandbox_fault": None}),
    (Verdict.CANCELLED, {"cancelled": False}),
    (Verdict.TAMPERED, {"tampering": ()}),
    (Verdict.TIMEOUT_CPU, {"limit": None}),
    (Verdict.CRASHED, {"exit_signal": None}),
    (Verdict.SANDBOX_ERROR, {"exit_code": 3}),
    (Verdict.RUNTIME_ERROR, {"error": None}),
    (Verdict.EXITED_EARLY, {"stage": Stage.COMPLETE}),
    (Verdict.FAILED_ASSERTION, {"results": (TestResult("test_a", PASSED), TestResult("test_c", PASSED))}),
    (Verdict.TAMPERED, results(test_a=PASSED, test_b=TestStatus.SKIPPED)),
    (Verdict.TAMPERED, {**results(test_a=PASSED, test_b=PASSED), "exit_code": 3}),
    (Verdict.TAMPERED, {"integrity": ()}),
    (Verdict.RUNTIME_ERROR, {"exit_code": 0}),
]


def test_the_first_row_that_applies_decides() -> None:
    facts = _EVERYTHING
    for verdict, taken_away in _TAKEN_AWAY:
        assert judged(UNITTEST, facts).verdict is verdict, facts
        facts = replace(facts, **taken_away)
    assert judged(UNITTEST, facts).verdict is Verdict.PASSED


@pytest.mark.parametrize(
    ("limit", "verdict", "words", "unittest_word"),
    [
        (Limit.CPU, Verdict.TIMEOUT_CPU, "2.5 s of CPU time", "timeout"),
        (Limit.WALL, Verdict.TIMEOUT_WALL, "60 s by the clock", "timeout"),
        (Limit.MEMORY, Verdict.OUT_OF_MEMORY, "1 GiB of memory", "fail"),
        (Limit.OUTPUT, Verdict.OUTPUT_LIMIT, "16 MiB of output", "fail"),
        (Limit.DISK, Verdict.DISK_LIMIT, "16 MiB of disk", "fail"),
        (Limit.PROCESSES, Verdict.PROCESS_LIMIT, "7 processes", "fail"),
    ],
)
def test_a_limit_has_its_verdict_and_its_number(limit: Limit, verdict: Verdict, words: str, unittest_word: str) -> None:
    facts = Facts(stage=Stage.LOADING, limit=limit, exit_signal=9)
    for task in (UNITTEST, CHECK, SCRIPT, STDIO):
        judgement = judged(task, facts)
        assert judgement.verdict is verdict
        assert words in judgement.explanation
        assert not judgement.compat_passed
    assert judged(UNITTEST, facts).compat_status == unittest_word
    assert judged(SCRIPT, facts).compat_status == unittest_word
    assert judged(CHECK, facts).compat_status == "timed out"


def test_every_limit_has_a_verdict_of_its_own() -> None:
    verdicts = {judged(SCRIPT, Facts(limit=limit, exit_signal=9)).verdict for limit in Limit}
    assert len(verdicts) == len(Limit)


@pytest.mark.parametrize(
    ("number", "verdict", "name"),
    [
        (11, Verdict.CRASHED, "SIGSEGV"),
        (6, Verdict.CRASHED, "SIGABRT"),
        (7, Verdict.CRASHED, "SIGBUS"),
        (4, Verdict.CRASHED, "SIGILL"),
        (8, Verdict.CRASHED, "SIGFPE"),
        (31, Verdict.CRASHED, "SIGSYS"),
        (9, Verdict.KILLED, "SIGKILL"),
        (15, Verdict.KILLED, "SIGTERM"),
        (14, Verdict.KILLED, "SIGALRM"),
        (24, Verdict.TIMEOUT_CPU, "CPU time"),
        (25, Verdict.DISK_LIMIT, "disk"),
        (40, Verdict.KILLED, "signal 40"),
    ],
)
def test_a_signal_is_named(number: int, verdict: Verdict, name: str) -> None:
    facts = Facts(stage=Stage.TESTING, exit_signal=number)
    judgement = judged(UNITTEST, facts)
    assert judgement.verdict is verdict
    assert name in judgement.explanation
    assert judgement.compat_status == "timeout"
    assert judged(CHECK, facts).compat_status == "timed out"
    assert judged(SCRIPT, facts).compat_status == "fail"


@pytest.mark.parametrize(
    ("raised_error", "verdict"),
    [
        (error("SyntaxError", kind="syntax"), Verdict.SYNTAX_ERROR),
        (error("RecursionError", kind="syntax"), Verdict.SYNTAX_ERROR),
        (error("NameError", kind="entry_point"), Verdict.NO_ENTRY_POINT),
        (error("ModuleNotFoundError"), Verdict.IMPORT_MISSING),
        (error("MemoryError"), Verdict.OUT_OF_MEMORY),
        (error("numpy.core._exceptions._ArrayMemoryError"), Verdict.OUT_OF_MEMORY),
        (error("SystemExit", "0"), Verdict.EXITED_EARLY),
        (error("ImportError"), Verdict.RUNTIME_ERROR),
        (error("AssertionError"), Verdict.RUNTIME_ERROR),
        (error("KeyboardInterrupt", ""), Verdict.RUNTIME_ERROR),
        (error("unittest.case.SkipTest"), Verdict.RUNTIME_ERROR),
    ],
)
def test_an_error_while_loading(raised_error: RaisedError, verdict: Verdict) -> None:
    facts = Facts(stage=Stage.LOADING, exit_code=1, error=raised_error)
    judgement = judged(UNITTEST, facts)
    assert (judgement.verdict, judgement.compat_status) == (verdict, "fail")
    judgement = judged(CHECK, facts)
    assert (judgement.verdict, judgement.compat_status) == (verdict, f"failed: {raised_error.message}")


def test_tests_that_do_not_compile_are_not_the_samples_syntax() -> None:
    facts = Facts(stage=Stage.TESTING, exit_code=1, error=error("SyntaxError", kind="syntax"))
    assert judged(UNITTEST, facts).verdict is Verdict.RUNTIME_ERROR


def test_a_script_may_exit_and_its_code_decides() -> None:
    assert judged(SCRIPT, Facts(stage=Stage.LOADING, exit_code=0)).verdict is Verdict.PASSED
    failed = judged(SCRIPT, Facts(stage=Stage.LOADING, exit_code=3))
    assert (failed.verdict, failed.compat_status) == (Verdict.RUNTIME_ERROR, "fail")
    assert "exit code 3" in failed.explanation
    raising = judged(SCRIPT, Facts(stage=Stage.LOADING, exit_code=1, error=error("ValueError")))
    assert (raising.verdict, raising.explanation) == (
        Verdict.RUNTIME_ERROR,
        "Ended by an error: ValueError: words",
    )


@pytest.mark.parametrize("stage", [Stage.NOT_STARTED, Stage.LOADING, Stage.TESTING])
def test_exit_code_0_is_no_pass_without_a_complete_report(stage: Stage) -> None:
    judgement = judged(UNITTEST, facts_of_all(stage=stage))
    assert (judgement.verdict, judgement.compat_status) == (Verdict.EXITED_EARLY, "timeout")
    judgement = judged(CHECK, Facts(stage=stage, exit_code=0))
    assert (judgement.verdict, judgement.compat_status) == (Verdict.EXITED_EARLY, "timed out")


@pytest.mark.parametrize(
    ("last_line", "refused", "verdict"),
    [
        ("ValueError: words", (), Verdict.RUNTIME_ERROR),
        ("ModuleNotFoundError: No module named 'x'", (), Verdict.IMPORT_MISSING),
        ("MemoryError", (), Verdict.OUT_OF_MEMORY),
        ("numpy._core._exceptions._ArrayMemoryError: Unable to allocate", (), Verdict.OUT_OF_MEMORY),
        ("SystemExit: 0", (), Verdict.EXITED_EARLY),
        ("OSError: [Errno 28] No space left on device", ("disk",), Verdict.DISK_LIMIT),
        ("RuntimeError: can't start new thread", ("processes",), Verdict.PROCESS_LIMIT),
        ("ValueError: words", ("memory",), Verdict.OUT_OF_MEMORY),
        ("ValueError: ModuleNotFoundError: no", (), Verdict.RUNTIME_ERROR),
        ("", (), Verdict.RUNTIME_ERROR),
    ],
)
def test_a_test_that_raised(last_line: str, refused: tuple[str, ...], verdict: Verdict) -> None:
    judgement = judged(UNITTEST, raised(last_line, refused_resources=refused))
    assert (judgement.verdict, judgement.compat_status) == (verdict, "fail")
    assert judgement.strict_reasons == ("error: test_a",)
    assert "1 of 2 tests failed" in judgement.explanation
    assert "test_a" in judgement.explanation


def test_a_refused_resource_never_turns_a_pass_into_a_failure() -> None:
    facts = facts_of_all(refused_resources=("disk", "processes", "memory"))
    assert judged(UNITTEST, facts).verdict is Verdict.PASSED


def test_a_refused_resource_explains_a_script_that_failed() -> None:
    facts = Facts(stage=Stage.LOADING, exit_code=1, refused_resources=("disk",))
    assert judged(SCRIPT, facts).verdict is Verdict.DISK_LIMIT
    facts = replace(facts, error=error("OSError"))
    assert judged(SCRIPT, facts).verdict is Verdict.DISK_LIMIT
    assert judged(SCRIPT, replace(facts, error=error("ModuleNotFoundError"))).verdict is Verdict.IMPORT_MISSING


def test_a_message_of_many_lines_is_quoted_by_its_first() -> None:
    message = "Lists differ: [1] != [2]\n\n- [1]\n+ [2]"
    failing = TestResult("test_a", FAILED, f"Traceback ...\nAssertionError: {message}\n", message=message)
    judgement = judged(UNITTEST, Facts(**DONE, results=(failing,), reported_tests=("test_a", "test_b")))
    assert judgement.explanation == ("1 of 2 tests failed, such as test_a: AssertionError: Lists differ: [1] != [2]")
    missing = "No module named 'x'\nhint: install it"
    raising = replace(failing, status=ERROR, detail=f"...\nModuleNotFoundError: {missing}\n", message=missing)
    facts = Facts(**DONE, results=(raising,), reported_tests=("test_a", "test_b"))
    assert judged(UNITTEST, facts).verdict is Verdict.IMPORT_MISSING


@pytest.mark.parametrize("order", ["test_a test_b", "test_b test_a"])
def test_the_order_of_tests_does_not_decide(order: str) -> None:
    statuses = {"test_a": ERROR, "test_b": FAILED}
    judgement = judged(UNITTEST, Facts(**results(**{name: statuses[name] for name in order.split()})))
    assert judgement.verdict is Verdict.FAILED_ASSERTION
    assert judgement.explanation == "2 of 2 tests failed, such as test_b: AssertionError: 1 != 2"
    assert set(judgement.strict_reasons) == {"error: test_a", "failed: test_b"}


def test_a_declared_test_without_a_result_is_not_run() -> None:
    judgement = judged(UNITTEST, Facts(**results(test_a=PASSED)))
    assert (judgement.verdict, judgement.compat_status) == (Verdict.TAMPERED, "pass")
    assert judgement.strict_reasons == ("not run: test_b",)
    assert judgement.results[-1] == TestResult("test_b", TestStatus.NOT_RUN)


def test_zero_tests_pass_in_the_compat_view_only() -> None:
    judgement = judged(UNITTEST, Facts(**results()))
    assert (judgement.verdict, judgement.compat_status) == (Verdict.TAMPERED, "pass")
    assert judgement.strict_reasons == ("zero tests", "not run: test_a", "not run: test_b")
    nothing_declared = of_tests("import unittest\nclass TestCases(unittest.TestCase): pass")
    assert (nothing_declared.verdict, nothing_declared.compat_status) == (Verdict.EXITED_EARLY, "pass")
    undecided = of_tests("TestCases = make()")
    assert (undecided.verdict, undecided.strict_reasons) == (Verdict.EXITED_EARLY, ("zero tests",))


def test_a_test_that_is_not_declared_is_tampering() -> None:
    judgement = judged(UNITTEST, Facts(**results(test_a=PASSED, test_b=PASSED, test_c=PASSED)))
    assert (judgement.verdict, judgement.strict_reasons) == (Verdict.TAMPERED, ("not declared: test_c",))
    planned = facts_of_all(reported_tests=("test_a", "test_b", "test_c"))
    assert judged(UNITTEST, planned).verdict is Verdict.TAMPERED


def test_where_the_source_cannot_tell_the_plan_does() -> None:
    assert of_tests("TestCases = make()", test_x=PASSED).verdict is Verdict.PASSED
    planned = Facts(**{**results(test_x=PASSED), "reported_tests": ("test_x", "test_y")})
    assert judged(replace(UNITTEST, test="TestCases = make()"), planned).verdict is Verdict.TAMPERED


@pytest.mark.parametrize("name", ["setUpClass (TestCases)", "TestCases)"])
def test_a_class_fixture_that_fails_is_no_undeclared_test(name: str) -> None:
    judgement = judged(UNITTEST, Facts(**results(**{name: ERROR})))
    assert (judgement.verdict, judgement.compat_status) == (Verdict.RUNTIME_ERROR, "fail")
    forged = Facts(**results(**{"test_a": PASSED, "test_b": PASSED, name: PASSED}))
    assert judged(UNITTEST, forged).verdict is Verdict.TAMPERED


def test_a_class_fixture_that_skips_is_no_pass() -> None:
    facts = Facts(**{**results(**{"TestCases)": TestStatus.SKIPPED}), "reported_tests": ("test_a", "test_b")})
    judgement = judged(UNITTEST, facts)
    assert (judgement.verdict, judgement.compat_status) == (Verdict.TAMPERED, "pass")


_ASKING = """
import unittest
class TestCases(unittest.TestCase):
    @unittest.skip("no display here")
    def test_a(self): pass
    @unittest.expectedFailure
    def test_b(self): pass
    def test_c(self): pass
"""


def test_what_the_tests_ask_for_is_excused() -> None:
    judgement = of_tests(_ASKING, test_a=TestStatus.SKIPPED, test_b=TestStatus.EXPECTED_FAILURE, test_c=PASSED)
    assert (judgement.verdict, judgement.compat_status) == (Verdict.PASSED, "pass")
    assert judgement.strict_reasons == (
        "skipped, as the tests ask: test_a",
        "expected failure, as the tests ask: test_b",
    )
    assert judgement.explanation == "Passed 1 test; 2 left out, as the tests ask."


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        ({"test_c": TestStatus.SKIPPED}, Verdict.EXITED_EARLY),
        ({"test_c": TestStatus.EXPECTED_FAILURE}, Verdict.FAILED_ASSERTION),
        ({"test_b": TestStatus.SKIPPED}, Verdict.EXITED_EARLY),
        ({"test_b": TestStatus.UNEXPECTED_SUCCESS}, Verdict.FAILED_ASSERTION),
    ],
)
def test_what_they_do_not_ask_for_of_this_test_is_not(statuses: dict[str, TestStatus], verdict: Verdict) -> None:
    judgement = of_tests(_ASKING, **{"test_a": PASSED, "test_b": PASSED, "test_c": PASSED, **statuses})
    assert (judgement.verdict, judgement.compat_status) == (verdict, "pass")
    assert not judgement.strict_passed
    assert judgement.strict_reasons


@pytest.mark.parametrize("status", [TestStatus.SKIPPED, TestStatus.EXPECTED_FAILURE, TestStatus.UNEXPECTED_SUCCESS])
def test_what_the_tests_never_speak_of_is_the_samples_doing(status: TestStatus) -> None:
    judgement = judged(UNITTEST, Facts(**results(test_a=PASSED, test_b=status)))
    assert (judgement.verdict, judgement.compat_status) == (Verdict.TAMPERED, "pass")


def test_skipping_all_tests_is_no_pass_even_if_asked_for() -> None:
    asking = _ASKING.replace("class Test", "@unittest.skip('all')\nclass Test")
    skipped = dict.fromkeys(("test_a", "test_b", "test_c"), TestStatus.SKIPPED)
    judgement = of_tests(asking, **skipped)
    assert (judgement.verdict, judgement.compat_status) == (Verdict.EXITED_EARLY, "pass")


@pytest.mark.parametrize(
    "change",
    [
        "after loading: TestCase.assertEqual",
        "after testing: TestCase.assertEqual",
        "after testing: Hook.x was added",
        "the solution shadows builtins.abs, which the tests use",
        "check is not the function that the check source defines",
    ],
)
def test_a_would_be_pass_that_changed_its_judge_is_tampering(change: str) -> None:
    judgement = judged(UNITTEST, facts_of_all(integrity=(change,)))
    assert (judgement.verdict, judgement.compat_status) == (Verdict.TAMPERED, "pass")
    assert judgement.strict_reasons == (f"changed {change}",)
    failing = Facts(**results(test_a=FAILED, test_b=PASSED), integrity=(change,))
    judgement = judged(UNITTEST, failing)
    assert judgement.verdict is Verdict.FAILED_ASSERTION
    assert f"changed {change}" in judgement.strict_reasons


def test_what_the_tests_themselves_change_while_they_run_is_theirs() -> None:
    test = UNITTEST.test + "    def setUp(self): builtins.input = lambda: '1'\n"
    task = replace(UNITTEST, test=test)
    after = facts_of_all(integrity=("after testing: builtins.input",))
    assert judged(task, after).verdict is Verdict.PASSED
    at_load = facts_of_all(integrity=("after loading: builtins.input",))
    assert judged(task, at_load).verdict is Verdict.TAMPERED


def test_a_sample_that_ended_badly_after_its_report_does_not_pass() -> None:
    assert judged(UNITTEST, facts_of_all(exit_code=3)).verdict is Verdict.RUNTIME_ERROR
    assert judged(UNITTEST, facts_of_all(exit_code=None, exit_signal=11)).verdict is Verdict.CRASHED
    assert judged(UNITTEST, facts_of_all(exit_code=None, limit=Limit.WALL)).verdict is Verdict.TIMEOUT_WALL


def test_function_check_speaks_humanevals_words() -> None:
    passed = judged(CHECK, Facts(**results(check=PASSED)))
    assert (passed.verdict, passed.compat_passed, passed.compat_status) == (Verdict.PASSED, True, "passed")
    failed = judged(CHECK, Facts(**results(check=FAILED)))
    assert (failed.verdict, failed.compat_status) == (Verdict.FAILED_ASSERTION, "failed: words")
    silent = TestResult("check", FAILED, "Traceback ...\nAssertionError\n")
    judgement = judged(CHECK, Facts(**DONE, reported_tests=("check",), results=(silent,)))
    assert judgement.compat_status == "failed: "
    assert judgement.explanation == "check failed: AssertionError"
    unsaid = replace(silent, message="bad \ud800 text" + "x" * 9000)
    judgement = judged(CHECK, Facts(**DONE, reported_tests=("check",), results=(unsaid,)))
    assert judgement.compat_status.startswith("failed: bad ? text")
    assert len(judgement.compat_status) <= 4096


def test_stdio_is_judged_by_its_cases() -> None:
    names = ("case 0", "case 1")
    right = Facts(
        stage=Stage.LOADING,
        exit_code=0,
        reported_tests=names,
        results=tuple(TestResult(n, PASSED) for n in names),
    )
    judgement = judged(STDIO, right)
    assert (judgement.verdict, judgement.compat_status) == (Verdict.PASSED, "pass")
    assert judgement.explanation == "Passed 2 cases."
    wrong = TestResult("case 0", TestStatus.WRONG_OUTPUT, "line 1, token 1 of the output: '3' where '1' was expected")
    stopped = replace(right, results=(wrong,), reported_tests=("case 0",))
    judgement = judged(STDIO, stopped)
    assert (judgement.verdict, judgement.compat_status) == (Verdict.WRONG_OUTPUT, "fail")
    assert judgement.results[1] == TestResult("case 1", TestStatus.NOT_RUN)
    assert judged(STDIO, replace(right, results=right.results[:1])).verdict is not Verdict.PASSED
    raising = TestResult("case 1", ERROR, "Traceback ...\nModuleNotFoundError: No module named 'x'")
    assert judged(STDIO, replace(right, results=(raising,))).verdict is Verdict.IMPORT_MISSING
    exiting = TestResult("case 1", ERROR, "SystemExit: 1")
    assert judged(STDIO, replace(right, results=(exiting,))).verdict is Verdict.RUNTIME_ERROR


def test_explanations_are_one_clean_line() -> None:
    hostile = "\x1b]0;title\x07\x1b[31m\u202enot\x00 ok\r\n" + "x" * 10_000
    for facts in (
        Facts(stage=Stage.LOADING, exit_code=1, error=error("ValueError", hostile)),
        Facts(stage=Stage.LOADING, exit_code=1, tampering=(hostile,)),
        Facts(sandbox_fault=SandboxFault("X", hostile)),
        raised(hostile),
        facts_of_all(integrity=(hostile,)),
        Facts(**results(**{hostile: FAILED})),
    ):
        judgement = judged(UNITTEST, facts)
        for text in (judgement.explanation, *judgement.strict_reasons):
            assert text.isprintable()
            assert len(text) <= 500
            assert "[31m" not in text
            assert "title" not in text


def test_reasons_are_bounded() -> None:
    facts = Facts(**results(**{f"test_{number}": FAILED for number in range(1000)}))
    reasons = judged(replace(UNITTEST, test="TestCases = make()"), facts).strict_reasons
    assert len(reasons) == 21
    assert reasons[-1] == "and 980 more"

"""The kind `function_check`: `check(candidate)` and assert statements."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.agent.harness.conftest import Harness

SOLUTION = "def f(x):\n    return x + 1\n"
CHECK = "def check(candidate):\n    assert candidate(1) == 2\n"


def test_a_right_function_passes(child: Harness) -> None:
    ran = child.function_check(SOLUTION, CHECK, ("assert f(1) == 2", "assert f(2) == 3"))
    assert ran.statuses == {"check": "passed", "assertion 0": "passed", "assertion 1": "passed"}
    assert ran.reader.reported_tests == ["check", "assertion 0", "assertion 1"]
    assert (ran.reader.stage, ran.exit_code, ran.reader.tampering, ran.reader.integrity) == (
        "complete",
        0,
        [],
        [],
    )


def test_failures_keep_their_words(child: Harness) -> None:
    check = "def check(c):\n    assert c(1) == 3, 'off by one'\n    assert c(2) == 9, 'never reached'\n"
    ran = child.function_check(SOLUTION, check, ("assert f(1) == 2", "assert f(2) == 2", "f(None)"))
    assert ran.statuses == {
        "check": "failed", "assertion 0": "passed", "assertion 1": "failed", "assertion 2": "error",
    }  # fmt: skip
    assert ran.result("check")["message"] == "off by one"
    assert ran.result("check")["detail"] == (
        "Traceback (most recent call last):\n"
        "  File \"<solution>\", line 5, in check\n    assert c(1) == 3, 'off by one'\n"
        "AssertionError: off by one\n"
    )
    assert ran.exit_code == 0


def test_assertions_alone(child: Harness) -> None:
    ran = child.function_check(SOLUTION, "", ("assert f(1) == 2",))
    assert ran.reader.reported_tests == ["assertion 0"]
    assert ran.statuses == {"assertion 0": "passed"}


@pytest.mark.parametrize(
    ("raising", "message"),
    [
        ("raise SystemExit(0)", "0"),
        ("raise KeyboardInterrupt('k')", "k"),
        ("raise ValueError", ""),
        ("exit()", ""),
    ],
)
def test_what_a_function_raises_is_the_tests_error(child: Harness, raising: str, message: str) -> None:
    ran = child.function_check(f"def f(x):\n    {raising}\n", CHECK)
    assert ran.statuses == {"check": "error"}
    assert ran.reader.stage == "complete"
    if message:
        assert ran.result("check")["message"] == message


def test_names_are_found_as_in_a_bare_exec(child: Harness) -> None:
    solution = (
        "import builtins\nassert __name__ == 'builtins'\nassert __builtins__ is vars(builtins)\n"
        "assert set(globals()) == {'__builtins__', 'builtins'}, globals().keys()\n"
        "class C: pass\nassert C.__module__ == 'builtins'\n" + SOLUTION
    )
    assert child.function_check(solution, CHECK).statuses == {"check": "passed"}


def test_the_check_sees_what_the_solution_defined(child: Harness) -> None:
    check = "def check(candidate):\n    assert helper() == 7\n"
    assert child.function_check(SOLUTION + "def helper(): return 7\n", check).statuses == {"check": "passed"}


def test_an_entry_point_that_is_missing(child: Harness) -> None:
    ran = child.function_check("def g(x): pass\n", CHECK)
    assert (ran.error["kind"], ran.error["message"], ran.exit_code) == (
        "entry_point",
        "name 'f' is not defined",
        1,
    )


@pytest.mark.parametrize("check", ["x = 1\n", "raise ValueError('at the top')\n", "assert False, 'at the top'\n"])
def test_what_is_wrong_with_the_check_source_is_the_tests(child: Harness, check: str) -> None:
    ran = child.function_check(SOLUTION, check, ("assert f(1) == 2",))
    assert ran.statuses["check"] in {"failed", "error"}
    assert ran.statuses["assertion 0"] == "passed"


def test_a_check_source_that_does_not_compile(child: Harness) -> None:
    ran = child.function_check(SOLUTION, CHECK, ("assert f(1) ==",))
    assert (ran.reader.stage, ran.error["kind"], ran.reader.results) == ("testing", "syntax", [])
    assert ran.reader.tampering == []


def test_input_raises_as_in_the_original(child: Harness) -> None:
    ran = child.function_check("def f(x):\n    return input()\n", CHECK)
    assert ran.statuses == {"check": "error"}
    assert "OSError" in ran.result("check")["detail"]


def test_output_is_captured(child: Harness) -> None:
    ran = child.function_check(
        "import sys\ndef f(x):\n    print('out'); print('err', file=sys.stderr); return 2\n", CHECK
    )
    assert (ran.stdout, ran.stderr) == (b"out\n", b"err\n")

"""The kind `unittest`: what BigCodeBench's harness does with an honest program, in its own order."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.unit.agent.harness.conftest import Harness, Ran

SOLUTION = "def task_func(x):\n    return x + 1\n"


def cases(body: str, above: str = "") -> str:
    """Returns a test source whose class TestCases has this body."""
    return "import unittest\n{}\nclass TestCases(unittest.TestCase):\n{}".format(
        textwrap.dedent(above),
        textwrap.indent(textwrap.dedent(body), "    "),
    )


def run(child: Harness, body: str, solution: str = SOLUTION, above: str = "", **more: Any) -> Ran:
    return child.unittest(solution, cases(body, above), **more)


def test_each_test_is_planned_and_reported(child: Harness) -> None:
    ran = run(
        child,
        """
        def test_right(self) -> None:
            self.assertEqual(task_func(1), 2)
        def test_wrong(self) -> None:
            self.assertEqual(task_func(1), 3)
        def test_broken(self) -> None:
            task_func(None)
        """,
    )
    assert ran.exit_code == 0
    assert ran.reader.stage == "complete"
    assert ran.reader.reported_tests == ["test_broken", "test_right", "test_wrong"]
    assert ran.statuses == {"test_right": "passed", "test_wrong": "failed", "test_broken": "error"}
    assert (ran.reader.tampering, ran.reader.integrity) == ([], [])
    wrong = ran.result("test_wrong")
    assert wrong["message"] == "2 != 3"
    assert wrong["detail"] == (
        "Traceback (most recent call last):\n"
        '  File "__test__.py", line 11, in test_wrong\n    self.assertEqual(task_func(1), 3)\n'
        "AssertionError: 2 != 3\n"
    )
    assert 'File "__test__.py", line 2, in task_func\n    return x + 1\n' in ran.result("test_broken")["detail"]


def test_the_other_fates_of_a_test(child: Harness) -> None:
    ran = run(
        child,
        """
        @unittest.skip("not today")
        def test_skipped(self): pass
        def test_skips_itself(self): self.skipTest("nor tomorrow")
        @unittest.expectedFailure
        def test_expected(self): self.fail("as declared")
        @unittest.expectedFailure
        def test_unexpected(self): pass
        """,
    )
    assert ran.statuses == {
        "test_skipped": "skipped", "test_skips_itself": "skipped", "test_expected": "expected_failure",
        "test_unexpected": "unexpected_success",
    }  # fmt: skip
    assert ran.result("test_skips_itself")["message"] == "nor tomorrow"
    assert "as declared" in ran.result("test_expected")["detail"]


def test_subtests_are_folded_into_their_test(child: Harness) -> None:
    ran = run(
        child,
        """
        def test_some(self) -> None:
            for number in range(4):
                with self.subTest("even", number=number):
                    self.assertEqual(number % 2, 0)
        def test_all(self) -> None:
            for number in range(4):
                with self.subTest(number=number):
                    pass
        def test_broken(self) -> None:
            with self.subTest(number=1):
                1 / 0
        """,
    )
    assert ran.statuses == {"test_some": "failed", "test_all": "passed", "test_broken": "error"}
    detail = ran.result("test_some")["detail"]
    assert detail.count("AssertionError: 1 != 0") == 2
    assert "[even] (number=1)" in detail
    assert "[even] (number=3)" in detail


def test_an_error_in_test_and_in_tear_down_is_one_result(child: Harness) -> None:
    ran = run(
        child,
        """
        def tearDown(self): raise OSError("late")
        def test_a(self): self.fail("early")
        """,
    )
    assert ran.statuses == {"test_a": "error"}
    assert "early" in ran.result("test_a")["detail"]
    assert "late" in ran.result("test_a")["detail"]


def test_a_class_fixture_that_fails_is_keyed_by_the_last_part_of_its_id(child: Harness) -> None:
    ran = run(
        child,
        """
        @classmethod
        def setUpClass(cls): raise OSError("no database")
        def test_a(self): pass
        """,
    )
    assert ran.reader.reported_tests == ["test_a"]
    assert ran.statuses == {"TestCases)": "error"}
    assert ran.result("TestCases)")["message"] == "no database"
    assert ran.reader.stage == "complete"


def test_module_fixtures_and_class_cleanups_run(child: Harness) -> None:
    ran = run(
        child,
        """
        @classmethod
        def setUpClass(cls):
            print("class")
            cls.addClassCleanup(print, "cleanup")
        def test_a(self): print("test")
        """,
        above="""
        def setUpModule(): print("module")
        def tearDownModule(): print("end of module")
        """,
    )
    assert ran.stdout == b"module\nclass\ntest\ncleanup\nend of module\n"
    assert ran.statuses == {"test_a": "passed"}


def test_zero_tests_are_complete(child: Harness) -> None:
    ran = run(child, "pass")
    assert (ran.reader.stage, ran.reader.reported_tests, ran.reader.results) == ("complete", [], [])


def test_exiting_in_a_test_is_that_tests_error_and_an_interrupt_is_nobodys(child: Harness) -> None:
    ran = run(
        child,
        """
        def test_a(self): raise SystemExit(0)
        def test_b(self): raise KeyboardInterrupt("stop")
        def test_c(self): pass
        """,
    )
    assert ran.statuses["test_a"] == "error"
    assert "test_c" not in ran.statuses
    assert ran.reader.stage == "testing"
    assert ran.error["type_name"] == "KeyboardInterrupt"
    assert ran.exit_code == 1


def test_exiting_in_a_class_fixture_is_an_error_that_no_test_owns(child: Harness) -> None:
    ran = run(child, "@classmethod\ndef setUpClass(cls): raise SystemExit(0)\ndef test_a(self): pass\n")
    assert (ran.reader.stage, ran.error["type_name"], ran.exit_code) == ("testing", "SystemExit", 1)


def test_the_module_is_as_the_original_makes_it(child: Harness) -> None:
    solution = textwrap.dedent(
        """
        import builtins, types
        assert __name__ == "mod"
        assert __file__ == "mod.py"
        assert __package__ is None and __doc__ is None
        assert __builtins__ is builtins
        assert environ is os.environ and sys.modules.get("mod") is None
        assert not hasattr(sys.modules["__main__"], "__file__")
        if __name__ == "__main__":
            raise SystemExit
        """
    )
    body = "def test_a(self):\n    self.assertIs(sys.modules['mod'].TestCases, TestCases)\n"
    ran = run(child, body, solution, module_name="mod")
    assert ran.statuses == {"test_a": "passed"}


def test_streams_are_as_the_original_makes_them(child: Harness) -> None:
    solution = "import io\nprint('loaded')\nprint('\\ud800', file=sys.stderr)\n"
    body = """
        def test_input(self) -> None:
            stdin = sys.stdin
            for read in (input, stdin.read, stdin.readline, stdin.readlines, lambda: list(stdin)):
                with self.assertRaises(OSError):
                    read()
        def test_output(self) -> None:
            for stream in (sys.stdout, sys.stderr):
                self.assertFalse(hasattr(stream, "buffer"))
                self.assertFalse(stream.isatty())
                self.assertFalse(stream.readable())
                self.assertRaises(io.UnsupportedOperation, stream.fileno)
                self.assertRaises(OSError, stream.read)
            self.assertEqual(sys.stdout.getvalue(), "loaded\\n")
        def test_real(self) -> None:
            sys.__stdout__.write("by the other name\\n")
        def test_subprocess(self) -> None:
            import subprocess
            print("before")
            sys.stdout.flush()
            subprocess.run(["echo", "child"], check=True)
            print("after")
        """
    ran = run(child, body, solution)
    assert set(ran.statuses.values()) == {"passed"}
    assert b"before\nchild\nafter\n" in ran.stdout
    assert ran.stderr == b"\\ud800\n"


def test_much_output_comes_out_whole(child: Harness) -> None:
    ran = run(child, "def test_a(self):\n    for n in range(20000): print(n)\n")
    assert ran.stdout == b"".join(b"%d\n" % number for number in range(20000))


@pytest.mark.parametrize(
    ("solution", "kind", "type_name"),
    [
        ("def task_func(x:\n", "syntax", "SyntaxError"),
        ("x = '\0'\n", "syntax", None),
        ("raise ValueError('at import')\n", "error", "ValueError"),
        ("import surely_not_there\n", "error", "ModuleNotFoundError"),
        ("raise SystemExit(0)\n", "error", "SystemExit"),
        ("import unittest\nraise unittest.SkipTest('no')\n", "error", "SkipTest"),
        ("raise KeyboardInterrupt\n", "error", "KeyboardInterrupt"),
        ("def other(x): pass\n", "entry_point", "NameError"),
    ],
)
def test_a_solution_that_does_not_load_never_sees_tests(
    child: Harness, solution: str, kind: str, type_name: str | None
) -> None:
    ran = run(child, "def test_a(self): pass\n", solution, entry_point="task_func")
    assert (ran.reader.stage, ran.exit_code, len(ran.messages)) == ("loading", 1, 1)
    assert ran.error["kind"] == kind
    assert type_name in {None, ran.error["type_name"]}
    assert ran.reader.tampering == []


@pytest.mark.parametrize(
    ("tests", "kind", "words"),
    [
        ("class TestCases(:\n", "syntax", ""),
        ("raise ValueError('in the tests')\n", "error", "in the tests"),
        ("x = 1\n", "error", "TestCases"),
    ],
)
def test_what_is_wrong_with_tests_is_an_error_that_no_test_owns(
    child: Harness, tests: str, kind: str, words: str
) -> None:
    ran = child.unittest(SOLUTION, tests)
    assert (ran.reader.stage, ran.exit_code, ran.error["kind"]) == ("testing", 1, kind)
    assert words in ran.error["message"]
    assert ran.reader.tampering == []


def test_tests_have_the_future_of_the_solution(child: Harness) -> None:
    body = (
        "def test_a(self):\n"
        "    def f(x: not_there): pass\n"
        "    self.assertEqual(f.__annotations__, {'x': 'not_there'})\n"
    )
    assert run(child, body, "from __future__ import annotations\n").statuses == {"test_a": "passed"}
    assert run(child, body, "").statuses == {"test_a": "error"}


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_lines_of_tests_are_those_of_the_whole_file(child: Harness, newline: str) -> None:
    solution = "x = 1" + newline + "y = 2" + newline
    detail = child.unittest(solution, cases("def test_a(self): self.fail()\n")).result("test_a")["detail"]
    assert "line 7, in test_a\n    def test_a(self): self.fail()\n" in detail


def test_disabled_names(child: Harness) -> None:
    (child.folder / "installed.py").write_text("x = 1\n")
    solution = textwrap.dedent(
        """
        import os, shutil, subprocess
        assert exit is None and os.kill is None and shutil.rmtree is None and subprocess.Popen is None
        import colorsys
        assert colorsys.rgb_to_hls is None
        import os.path
        assert os.path.exists is None
        import email.message
        assert email.message.Message.keys is None
        for name in ("joblib", "not_installed"):
            try:
                __import__(name)
            except ImportError as error:
                assert "halted" in str(error), error
            else:
                raise AssertionError(name)
        """
    )
    names = ["builtins.exit", "os.kill", "shutil.rmtree", "subprocess.Popen", "joblib", "not_installed.thing",
             "colorsys.rgb_to_hls", "os.path.exists", "email.message.Message.keys"]  # fmt: skip
    ran = run(child, "def test_a(self): pass\n", solution, disabled_names=names)
    assert ran.statuses == {"test_a": "passed"}
    assert ran.reader.integrity == []


def test_large_tests_reach_the_sample(child: Harness) -> None:
    padding = "# %s\n" % ("x" * 1000)
    ran = child.unittest(SOLUTION, padding * 500 + cases("def test_a(self): pass\n"))
    assert ran.statuses == {"test_a": "passed"}


def test_a_long_plan_is_split(child: Harness) -> None:
    body = "\n".join(f"def test_{'x' * 200}_{number}(self): pass" for number in range(600))
    ran = run(child, body)
    assert ran.reader.reported_tests is not None
    assert len(ran.reader.reported_tests) == 600
    assert set(ran.statuses.values()) == {"passed"}
    assert ran.reader.tampering == []


def test_many_large_failures_stay_within_what_is_read(child: Harness) -> None:
    body = "\n".join(f"def test_{number}(self): self.fail('{number} ' * 10000)" for number in range(700))
    ran = run(child, body)
    assert len(ran.statuses) == 700
    assert set(ran.statuses.values()) == {"failed"}
    assert (ran.reader.stage, ran.reader.tampering) == ("complete", [])


@pytest.mark.parametrize(
    "text", ["'x' * 300_000_000", "'\\0' * 100_000", "'\\ud800' * 100_000", "'\U0001f600' * 50_000"]
)
def test_huge_and_strange_failure_texts_are_cut(child: Harness, text: str) -> None:
    ran = run(child, f"def test_a(self): raise ValueError({text})\n")
    one = ran.result("test_a")
    assert one["status"] == "error"
    assert "left out" in one["detail"]
    assert len(one["detail"]) < 10_000
    assert len(one["message"]) <= 2048
    assert ran.reader.tampering == []


def test_exceptions_that_cannot_be_shown(child: Harness) -> None:
    body = """
        def test_raises(self) -> None:
            class E(Exception):
                def __str__(self): raise SystemExit(0)
            raise E
        def test_no_text(self) -> None:
            class E(Exception):
                def __str__(self): return 7
            raise E
        def test_text_of_another_class(self) -> None:
            class S(str):
                def __getitem__(self, key): raise SystemExit
                def __len__(self): return -1
            class E(Exception):
                def __str__(self): return S("fine")
            raise E
        def test_properties(self) -> None:
            class E(Exception):
                __traceback__ = __cause__ = __context__ = property(lambda self: 1 / 0)
                __notes__ = property(lambda self: 1 / 0)
            raise E("with properties")
        def test_loop(self) -> None:
            one, other = ValueError("one"), ValueError("other")
            one.__cause__, other.__cause__ = other, one
            raise one
        def test_deep(self) -> None:
            def f(): f()
            f()
        def test_chain(self) -> None:
            error = ValueError("last")
            for n in range(5000):
                new = ValueError(n)
                new.__context__ = error
                error = new
            raise error
        def test_notes(self) -> None:
            error = ValueError("noted")
            error.__notes__ = ["a note"]
            raise error
        """
    ran = run(child, body)
    assert set(ran.statuses.values()) == {"error"}
    assert len(ran.statuses) == 8
    assert (ran.reader.stage, ran.reader.tampering) == ("complete", [])
    assert "cannot be read (SystemExit)" in ran.result("test_raises")["message"]
    assert ran.result("test_text_of_another_class")["message"] == "fine"
    assert "with properties" in ran.result("test_properties")["detail"]
    assert ran.result("test_loop")["detail"].count("ValueError: other") == 1
    assert "frames left out" in ran.result("test_deep")["detail"]
    assert "a note" in ran.result("test_notes")["detail"]


def test_many_subtests(child: Harness) -> None:
    body = "def test_a(self):\n    for n in range(3000):\n        with self.subTest(n=n): self.assertEqual(n, -1)\n"
    ran = run(child, body)
    assert ran.statuses == {"test_a": "failed"}
    assert "and 2980 more" in ran.result("test_a")["detail"]


def test_a_subtest_whose_parameter_cannot_be_shown(child: Harness) -> None:
    body = """
        def test_a(self) -> None:
            class P:
                def __repr__(self): raise ValueError
            with self.subTest(p=P()): self.fail("inside")
        """
    assert "inside" in run(child, body).result("test_a")["detail"]


def test_a_forked_child_that_falls_through_reports_nothing(child: Harness) -> None:
    body = """
        def test_a(self) -> None:
            if os.fork() == 0:
                return
            os.wait()
        def test_b(self): pass
        """
    ran = run(child, body)
    assert ran.statuses == {"test_a": "passed", "test_b": "passed"}
    assert (ran.reader.stage, ran.reader.tampering) == ("complete", [])


def test_fake_clocks_do_not_reach_the_harness(child: Harness) -> None:
    solution = (
        "import time\nfor name in ('time', 'perf_counter', 'monotonic'):\n    setattr(time, name, lambda: -1e300)\n"
    )
    ran = run(child, "def test_a(self): pass\n", solution)
    assert 0 <= ran.result("test_a")["seconds"] < 60


def test_multiprocessing_works_as_in_any_module(child: Harness) -> None:
    solution = (
        "import multiprocessing\n"
        "def square(n): return n * n\n"
        "def task_func():\n"
        "    with multiprocessing.Pool(2) as p: return p.map(square, range(5))\n"
    )
    ran = run(child, "def test_a(self): self.assertEqual(task_func(), [0, 1, 4, 9, 16])\n", solution)
    assert ran.statuses == {"test_a": "passed"}

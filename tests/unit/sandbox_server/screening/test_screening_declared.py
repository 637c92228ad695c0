"""Which tests a source declares and asks to be skipped, and where reading cannot tell."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox_server.screening import asked_of, declared_tests

_HEAD = "import unittest\nfrom unittest import TestCase\nfrom unittest.mock import patch\n"


def declared(body: str, head: str = "class TestCases(unittest.TestCase):") -> tuple[str, ...] | None:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return declared_tests(f"{_HEAD}{head}\n{lines}\n", "TestCases")


@pytest.mark.parametrize(
    ("body", "tests"),
    [
        ("pass", ()),
        ("'''Tests.'''\ndef test_a(self): pass\ndef test_b(self): pass", ("test_a", "test_b")),
        ("def test_b(self): pass\ndef test_a(self): pass\ndef test_b(self): pass", ("test_b", "test_a")),
        ("def setUp(self): pass\ndef helper(self): pass\ndef test(self): pass", ("test",)),
        ("async def test_a(self): pass", ("test_a",)),
        ("@patch('x.y')\n@patch.object(A, 'b')\ndef test_a(self, m): pass", ("test_a",)),
        ("@unittest.skip('x')\ndef test_a(self): pass", ("test_a",)),
        ("@unittest.mock.patch('x')\ndef test_a(self): pass", ("test_a",)),
        ("test_data = [1, 2]\ndef test_a(self): pass", ("test_a",)),
        ("def test_a(self): pass\ntest_a = None", ()),
        ("class Inner:\n    def test_x(self): pass\ndef test_a(self): pass", ("test_a",)),
        ("@cached\ndef helper(self): pass\ndef test_a(self): pass", ("test_a",)),
        ("def test_a(self):\n    self.x = 1\n    setattr(self, 'y', 2)", ("test_a",)),
    ],
)
def test_tests_are_read_from_the_class(body: str, tests: tuple[str, ...]) -> None:
    assert declared(body) == tests


@pytest.mark.parametrize(
    "body",
    [
        "if True:\n    def test_a(self): pass",
        "for n in range(3):\n    locals()[f'test_{n}'] = print",
        "test_a = make()",
        "test_a = lambda self: None",
        "test_a, x = 1, 2",
        "exec('def test_a(self): pass')",
        "@parameterized.expand([1])\ndef test_a(self, n): pass",
        "@property\ndef test_a(self): pass",
        "class test_a: pass",
        "from tests import test_a",
        "def test_a(self): pass\ndel test_a",
    ],
)
def test_a_body_that_computes_tests_is_undecided(body: str) -> None:
    assert declared(body) is None


@pytest.mark.parametrize(
    "head",
    [
        "class TestCases:",
        "class TestCases(Base):",
        "class TestCases(unittest.TestCase, Mixin):",
        "class TestCases(unittest.TestCase, metaclass=M):",
        "class TestCases(*bases):",
        "class TestCases(make()):",
        "@decorated\nclass TestCases(unittest.TestCase):",
        "class Others(unittest.TestCase):",
    ],
)
def test_a_class_that_is_not_plain_is_undecided(head: str) -> None:
    assert declared("def test_a(self): pass", head) is None


@pytest.mark.parametrize(
    "tail",
    [
        "TestCases.test_b = print",
        "del TestCases.test_a",
        "setattr(TestCases, 'test_b', print)",
        "TestCases = decorate(TestCases)",
        "from x import y as TestCases",
        "def TestCases(): pass",
        "exec(code)",
        "class TestCases(unittest.TestCase): pass",
        "if True:\n    class TestCases(unittest.TestCase): pass",
    ],
)
def test_a_class_that_is_changed_from_outside_is_undecided(tail: str) -> None:
    source = f"{_HEAD}class TestCases(TestCase):\n    def test_a(self): pass\n"
    assert declared_tests(source, "TestCases") == ("test_a",)
    assert declared_tests(source + tail, "TestCases") is None


def test_what_does_not_parse_or_is_absent_is_undecided() -> None:
    assert declared_tests("class TestCases(", "TestCases") is None
    assert declared_tests("x = 1", "TestCases") is None
    assert (
        declared_tests("if True:\n class TestCases(unittest.TestCase):\n  def test_a(self): pass", "TestCases") is None
    )


def test_a_name_is_cut_as_the_harness_cuts_it() -> None:
    assert declared(f"def test_{'a' * 400}(self): pass") == ("test_" + "a" * 295,)


def test_skips_that_tests_ask_for_are_found() -> None:
    asked = asked_of(
        _HEAD
        + """
class TestCases(unittest.TestCase):
    @unittest.skipIf(True, "no display")
    def test_a(self): pass
    def test_b(self):
        if not self.ready:
            self.skipTest("not ready")
    def test_c(self):
        raise unittest.SkipTest("no")
    @unittest.expectedFailure
    def test_d(self): pass
    def test_e(self):
        self.module.value = 1
        setattr(builtins, "input", None)
        sys.modules["x"] = None
""",
        "TestCases",
    )
    assert asked.skips == {"test_a", "test_b", "test_c"}
    assert asked.expected_failures == {"test_d"}
    assert {"value", "input", "x"} <= asked.attributes
    assert asked.mentions_skip
    assert asked.mentions_expected_failure


@pytest.mark.parametrize(
    "source",
    [
        "@unittest.skip('x')\nclass TestCases(unittest.TestCase):\n  def test_a(self): pass",
        "class TestCases(T):\n  def setUp(self): self.skipTest('x')\n  def test_a(self): pass",
        "class TestCases(T):\n @classmethod\n def setUpClass(cls): raise SkipTest\n def test_a(self): pass",
    ],
)
def test_a_class_or_its_set_up_asks_for_all_of_its_tests(source: str) -> None:
    assert "test_a" in asked_of(source, "TestCases").skips


def test_tests_that_ask_for_nothing_ask_for_nothing() -> None:
    asked = asked_of("class TestCases(unittest.TestCase):\n  def test_a(self): 'skip this'", "TestCases")
    assert (asked.skips, asked.expected_failures) == (frozenset(), frozenset())
    assert not asked.mentions_skip
    assert not asked.mentions_expected_failure
    assert asked_of("class (", "TestCases").skips == frozenset()


@settings(deadline=None)
@given(st.text(max_size=200), st.text(max_size=10))
def test_no_source_breaks_the_reading(source: str, name: str) -> None:
    tests = declared_tests(source, name)
    assert tests is None or all(test.startswith("test") for test in tests)
    assert asked_of(source, name).skips >= frozenset()

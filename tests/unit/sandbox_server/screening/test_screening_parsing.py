"""Parsing source that nobody trusts: faults as compile() finds them, and no source that breaks the parser."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox_server.model import ScriptTask, SyntaxFault
from sandbox_server.screening import parsing, screen
from sandbox_server.screening.parsing import Parsed, parse


def fault(source: str) -> SyntaxFault:
    parsed = parse(source)
    assert parsed.tree is None
    assert parsed.fault is not None
    return parsed.fault


@pytest.mark.parametrize(
    "source",
    [
        "",
        "\n\n",
        "x = 1",
        "x = 1\x0c\n\x0cy = 2",
        "# coding: latin-1\nx = 'é'",
        "# coding: no-such-coding\nx = 1",
        "x = '\\d'",
        "x = 1 is 1",
        "def f():\n\treturn 1\r\nx = f()\r",
        "0x" + "f" * 10_000,
        "x = " + "[" * 150 + "]" * 150,
        "import nothing_of_that_name",
    ],
)
def test_what_python_accepts_parses(source: str) -> None:
    parsed = parse(source)
    assert parsed.fault is None
    assert parsed.tree is not None


@pytest.mark.parametrize(
    ("source", "words", "line"),
    [
        ("x = (", "was never closed", 1),
        ("x = 1\n  y = 2", "unexpected indent", 2),
        ("def f(:\n  pass", "invalid syntax", 1),
        ("return 1", "'return' outside function", 1),
        ("nonlocal x", "nonlocal declaration not allowed at module level", 1),
        ("def f(a, a): pass", "duplicate argument 'a' in function definition", 1),
        ("await x", "'await' outside function", 1),
        ("def f():\n  x = 1\n  global x", "name 'x' is assigned to before global declaration", 3),
        ("break", "'break' outside loop", 1),
        ("from __future__ import braces", "not a chance", 1),
        ("x = " + "1" * 5000, "Exceeds the limit", 1),
        ("\ufeffx = 1", "invalid non-printable character U+FEFF", 1),
        ("é = 1\nx = 'é' +* 2", "invalid syntax", 2),
    ],
)
def test_a_fault_is_that_of_compile(source: str, words: str, line: int) -> None:
    with pytest.raises(SyntaxError) as raised:
        compile(source, "<string>", "exec", dont_inherit=True)
    found = fault(source)
    assert found == SyntaxFault(raised.value.msg, raised.value.lineno or 0, raised.value.offset or 0)
    assert words in found.message
    assert found.line == line


@pytest.mark.parametrize("source", ["x = 1\0", "x = '\ud800'", "\udcff"])
def test_text_that_is_no_source_has_a_fault_without_a_place(source: str) -> None:
    found = fault(source)
    assert (found.line, found.column) == (0, 0)
    assert found.message


@pytest.mark.parametrize(
    "source",
    [
        "(" * 100_000,
        "(" * 100_000 + ")" * 100_000,
        "-" * 100_000 + "1",
        "not " * 50_000 + "x",
        "lambda:" * 50_000 + "1",
        "x" + ".a" * 100_000,
        "f" + "()" * 50_000,
        "1+" * 50_000 + "1",
        "if 1:pass\n" + "elif 1:pass\n" * 20_000,
        "[" * 199 + "]" * 199,
        "async " * 10_000,
        "x = " + "{" * 90_000,
        "f'" + "{" * 20_000 + "'",
        "\\\n" * 100_000,
        "\n".join(" " * depth + "if 1:" for depth in range(200)),
        "match x:\n case " + "[" * 190 + "]" * 190 + ": pass",
    ],
)
def test_nesting_neither_breaks_the_parser_nor_parses(source: str) -> None:
    parsed = parse(source)
    assert parsed.tree is None or parsed.fault is None


def test_a_program_too_deep_for_a_tree_has_neither_tree_nor_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def shallow(source: Any, name: str, mode: str, flags: int = 0, *, dont_inherit: bool) -> Any:
        if flags:
            raise RecursionError("too deep for a tree")
        return compile(source, name, mode, flags, dont_inherit=dont_inherit)

    monkeypatch.setattr(parsing, "compile", shallow, raising=False)
    assert parse("x = 1") == Parsed(tree=None, fault=None)
    assert parse("x = (").fault is not None
    screening = screen(ScriptTask("x = 1"))
    assert screening.syntax_fault is None
    assert [finding.rule for finding in screening.findings] == ["too-deep"]
    assert screening.rejected_by_strict


def test_a_large_source_is_checked_for_names_and_not_made_into_code(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    def counted(source: Any, name: str, mode: str, flags: int = 0, *, dont_inherit: bool) -> Any:
        made.append(flags)
        return compile(source, name, mode, flags, dont_inherit=dont_inherit)

    monkeypatch.setattr(parsing, "compile", counted, raising=False)
    padding = "x = 1\n" * 20_000
    assert parse(padding).fault is None
    assert 0 not in made
    assert fault(padding + "def f(a, a): pass").line == 20_001
    assert fault(padding + "x = (").line == 20_001
    assert parse("x = 1").fault is None
    assert 0 in made


def test_a_fault_message_is_bounded() -> None:
    name = "x" * 100_000
    assert len(fault(f"def f({name}, {name}): pass").message) <= 500


def test_warnings_are_neither_shown_nor_errors() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("error")
        assert parse("x = '\\d'\nassert (x, 'always')\ny = x is 'a'").fault is None
        assert seen == []
        assert warnings.filters[0][0] == "error"


def test_nothing_is_executed() -> None:
    assert parse("raise SystemExit(1)").fault is None
    assert parse("import os; os._exit(1)").fault is None


@settings(deadline=None, max_examples=200)
@given(
    st.one_of(
        st.text(max_size=200),
        st.lists(
            st.sampled_from(
                [
                    "def f():",
                    "\n",
                    " ",
                    "(",
                    ")",
                    "x",
                    "=",
                    "1",
                    "'",
                    '"""',
                    "\\",
                    "#",
                    "class",
                    "\0",
                    "\ud800",
                    ":",
                ]
            ),
            max_size=60,
        ).map("".join),
    )
)
def test_it_agrees_with_compile_on_every_text(source: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(source, "<string>", "exec", dont_inherit=True)
        except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
            compiles = False
        else:
            compiles = True
    assert (parse(source).fault is None) == compiles

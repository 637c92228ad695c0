"""Screening whole tasks of every kind, those of the public data sets included."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox_server.model import FunctionCheckTask, ScriptTask, StdioCase, StdioTask, UnittestTask
from sandbox_server.screening import screen

_DATA = Path(__file__).parents[4].parent / "shared" / "data"
_TESTS = "import unittest\nclass TestCases(unittest.TestCase):\n    def test_a(self): pass\n"


def rows(name: str) -> list[dict[str, Any]]:
    file = _DATA / name
    if not file.exists():
        pytest.skip(f"{name} is not there")
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def f(): pass", True),
        ("async def f(): pass", True),
        ("class f: pass", True),
        ("f = 1", True),
        ("f: int = 1", True),
        ("f: int", False),
        ("a, [*f] = x", True),
        ("a.f = 1", False),
        ("import f", True),
        ("import f.g", True),
        ("import g.f", False),
        ("import g as f", True),
        ("from g import f", True),
        ("from g import f as h", False),
        ("from g import *", True),
        ("if x:\n  def f(): pass", True),
        ("if x: pass\nelif y: pass\nelse:\n  f = 1", True),
        ("try: pass\nexcept E:\n  f = 1", True),
        ("try: pass\nexcept* E:\n  f = 1", True),
        ("try: pass\nexcept E: pass\nelse:\n  f = 1", True),
        ("try: pass\nfinally:\n  f = 1", True),
        ("with x as f: pass", True),
        ("with x:\n  f = 1", True),
        ("for f in x: pass", True),
        ("while x:\n  f = 1", True),
        ("match x:\n  case 1:\n    f = 1", True),
        ("(f := 1)", True),
        ("def g():\n  def f(): pass", False),
        ("class g:\n  def f(self): pass", False),
        ("f(1)", False),
        ("", False),
        ("def F(): pass", False),
    ],
)
def test_an_entry_point_is_what_the_top_level_defines(source: str, found: bool) -> None:  # noqa: FBT001 -- a row of the table
    assert screen(FunctionCheckTask(source, "f", check="def check(c): pass")).entry_point_found is found
    assert screen(UnittestTask(source, _TESTS, entry_point="f")).entry_point_found is found


def test_a_task_without_an_entry_point_lacks_none() -> None:
    assert screen(UnittestTask("x = (", _TESTS)).entry_point_found
    assert screen(ScriptTask("x = (")).entry_point_found
    assert not screen(FunctionCheckTask("x = (", "f", check="x")).entry_point_found


def test_each_kind_declares_its_tests() -> None:
    cases = (StdioCase(b"", b""),) * 3
    assert screen(ScriptTask("")).declared_tests == ()
    assert screen(StdioTask("", cases)).declared_tests == ("case 0", "case 1", "case 2")
    assert screen(UnittestTask("", _TESTS)).declared_tests == ("test_a",)
    assert screen(UnittestTask("", "x = 1")).declared_tests is None
    assert screen(FunctionCheckTask("", "f", "x", ("a", "b"))).declared_tests == (
        "check",
        "assertion 0",
        "assertion 1",
    )
    assert screen(FunctionCheckTask("", "f", "", ("a",))).declared_tests == ("assertion 0",)
    assert screen(FunctionCheckTask("(", "f", "x")).declared_tests == ("check",)


def test_tests_are_the_data_sets_and_not_screened() -> None:
    tests = "import ctypes, unittest\nclass TestCases(unittest.TestCase):\n    def test_a(self): os._exit(0)\n"
    screening = screen(UnittestTask("def f(): pass", tests))
    assert screening.findings == ()
    assert screen(UnittestTask("def f(): pass", "def broken(")).syntax_fault is None
    assert screen(FunctionCheckTask("def f(): pass", "f", "import ctypes (")).syntax_fault is None


@settings(deadline=None)
@given(st.text(max_size=100), st.text(max_size=20), st.text(max_size=100))
def test_no_task_breaks_the_screening(source: str, name: str, tests: str) -> None:
    for task in (
        ScriptTask(source),
        UnittestTask(source, tests, name, name),
        FunctionCheckTask(source, name, tests, (tests,)),
        StdioTask(source, ()),
    ):
        screening = screen(task)
        assert (screening.syntax_fault is None) or not screening.findings


@pytest.mark.data
def test_the_reference_solutions_of_humaneval_are_clean() -> None:
    for row in rows("humaneval.jsonl.gz"):
        screening = screen(
            FunctionCheckTask(row["prompt"] + row["canonical_solution"], row["entry_point"], row["test"])
        )
        assert screening.syntax_fault is None, row["task_id"]
        assert screening.entry_point_found, row["task_id"]
        assert not screening.rejected_by_strict, row["task_id"]


@pytest.mark.data
def test_the_reference_solutions_of_bigcodebench_are_rarely_rejected() -> None:
    rejected = set()
    undecided = set()
    for row in rows("bigcodebench.jsonl.gz"):
        solution = f"{row['complete_prompt']}\n{row['canonical_solution']}"
        screening = screen(UnittestTask(solution, row["test"], entry_point=row["entry_point"]))
        assert screening.syntax_fault is None, row["task_id"]
        assert screening.entry_point_found, row["task_id"]
        assert screening.declared_tests != (), row["task_id"]
        if screening.rejected_by_strict:
            rejected.add(row["task_id"])
        if screening.declared_tests is None:
            undecided.add(row["task_id"])
    # One kills processes by design; four load shared libraries by design.
    assert rejected == {f"BigCodeBench/{number}" for number in (348, 562, 563, 564, 565)}
    assert undecided == {"BigCodeBench/848"}

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.model import FunctionCheckTask, Sample, ScriptTask, StdioTask, Task, UnittestTask
from orchestrator.ordering import likely_extra_s, longest_first

TESTS = """
class TestCases(unittest.TestCase):
    def test_one(self): pass
    async def test_two(self): pass
    def helper(self): pass
"""


@pytest.mark.parametrize(
    ("solution", "test", "seconds"),
    [
        ("import time\ntime.sleep(2.5)", "", 2.5),
        ("await asyncio.sleep( 3 )", "", 3.0),
        ("time.sleep(delay)", "", 1.0),
        ("time.sleep(2)\ntime.sleep(3)", TESTS, 10.0),
        ("", TESTS + "        time.sleep(4)", 4.0),
        ("", 'file.write("#!/bin/bash\\nsleep 5")', 5.0),
        ("def f(command, timeout: int = 60): pass", "", 6.0),
        ("def f(run_duration=5): pass", TESTS, 1.0),
        ("time.sleep(1e9)", "", 1.0),
        ("model.fit(X_train, Y_train, epochs=200, batch_size=1)", TESTS, 30.0),
        ("model.fit(X)\nprint(epochs)", TESTS, 0.0),
        ("time.sleep(100000)", "", 600.0),
        ("def oversleep(x): return x + 7", "", 0.0),
        ("asleep = 7", TESTS, 0.0),
        ("# how much sleep does one need", TESTS, 0.0),
    ],
)
def test_guesses_by_what_is_asked_for(solution: str, test: str, seconds: float) -> None:
    assert likely_extra_s(solution, test) == pytest.approx(seconds)


@given(st.text(), st.text())
def test_any_text_is_guessed_at(solution: str, test: str) -> None:
    assert 0.0 <= likely_extra_s("sleep(" + solution, "timeout=" + test) <= 600.0


def sample(number: int, task: Task) -> Sample:
    return Sample(str(number), str(number), number, task, solution="")


def test_sleepers_come_first_and_all_others_stay_as_they_were() -> None:
    tasks: list[Task] = [
        ScriptTask("print(1)"),
        UnittestTask("def f(): time.sleep(1)", TESTS),
        ScriptTask("print(2)"),
        FunctionCheckTask("def f(): pass", "f", assertions=("time.sleep(9)",)),
        StdioTask("time.sleep(2)", ()),
        FunctionCheckTask("def f(): pass", "f", check="def check(f): time.sleep(30)"),
        UnittestTask("", TESTS),
    ]
    ordered = longest_first(range(len(tasks)), lambda number: sample(number, tasks[number]))
    assert ordered == [5, 3, 1, 4, 0, 2, 6]

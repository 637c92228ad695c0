"""A score is the dataset's, or the user asked for another."""

import pytest

from orchestrator.errors import InputError, UsageError
from orchestrator.model import Completion
from orchestrator.selection import restrict, select

IDS = ["Set/0", "Set/1", "Set/2", "Set/10"]


@pytest.mark.parametrize(
    ("only", "span", "found"),
    [
        (None, None, IDS),
        ("Set/2,Set/0", None, ["Set/0", "Set/2"]),
        ("10, 1,", None, ["Set/1", "Set/10"]),
        (None, "1-3", ["Set/1", "Set/2"]),
        (None, "3-99", ["Set/10"]),
    ],
)
def test_problems_are_chosen_in_the_datasets_order(only: str | None, span: str | None, found: list[str]) -> None:
    assert select(IDS, only, span) == found


@pytest.mark.parametrize(
    ("only", "span", "message"),
    [
        ("Set/3", None, "--only-tasks.*'Set/3'; did you mean"),
        (" , ", None, "names no problem"),
        (None, "1", "form A-B"),
        (None, "2-2", "selects nothing"),
        (None, "4-9", "selects nothing"),
        (None, "-1-2", "form A-B"),
    ],
)
def test_what_means_nothing_is_an_error(only: str | None, span: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        select(IDS, only, span)


def completion(task_id: str, index: int = 0) -> Completion:
    return Completion(task_id, index, "pass", is_solution=True)


def test_completions_come_by_problem_then_index() -> None:
    given = [completion("b", 1), completion("a"), completion("b"), completion("c")]
    found = restrict(given, ["b", "a"], partial=False, file="f")
    assert [(one.task_id, one.index) for one in found] == [("b", 0), ("b", 1), ("a", 0)]


def test_problems_without_samples_take_a_word_from_the_user() -> None:
    with pytest.raises(InputError, match=r"f: 6 of 7 problems have no samples: 1, 2, 3, 4, 5 and 1 more\. .*--partial"):
        restrict([completion("0")], [str(number) for number in range(7)], partial=False, file="f")
    assert len(restrict([completion("0")], ["0", "1"], partial=True, file="f")) == 1
    with pytest.raises(InputError, match="2 of 2"):
        restrict([completion("x")], ["0", "1"], partial=True, file="f")

"""Options come first, then variables, then defaults; what means nothing is an error."""

from typing import Any

import pytest

from orchestrator.config import load_config
from orchestrator.errors import UsageError


def test_defaults_hold_until_something_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_config({"parallel": None}, {}).parallel is None
    monkeypatch.setenv("CUPEL_PARALLEL", "3")
    monkeypatch.setenv("CUPEL_PASS_K", "10, 1,1")
    assert load_config({"parallel": None}).parallel == 3
    assert load_config({"parallel": 4}).parallel == 4
    assert load_config({}).pass_k == (1, 10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pass_k": "one"}, "--pass-k: "),
        ({"pass_k": "0"}, "--pass-k: every k is at least 1"),
        ({"pass_k": ","}, "--pass-k: every k is at least 1"),
        ({"parallel": 0}, "--parallel: "),
        ({"seed": 1 << 63}, "--seed: "),
        ({"colour": "red"}, "--colour: "),
        ({"only_tasks": "1", "id_range": "0-1"}, "exclude each other"),
        ({"check_gt_only": True, "samples": "x"}, "exclude each other"),
        ({"check_gt_only": True, "gt": False}, "exclude each other"),
        ({"sandbox": "unix:x", "python": "y"}, "exclude each other"),
        ({"sandbox": "unix:x", "runtime": "local"}, "exclude each other"),
    ],
)
def test_what_means_nothing_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_config(options, {})


def test_a_variable_that_means_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="CUPEL_PARALEL means nothing to cupel; did you mean CUPEL_PARALLEL"):
        load_config({}, {"CUPEL_PARALEL": "1"})
    monkeypatch.setenv("CUPEL_PARALLEL", "many")
    with pytest.raises(UsageError, match="CUPEL_PARALLEL: "):
        load_config({})


def test_the_servers_own_variables_are_not_ours() -> None:
    load_config({}, {"CUPEL_SANDBOX_SLOTS": "3", "HOME": "x"})


def test_it_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_config({}, {}).seed = 1

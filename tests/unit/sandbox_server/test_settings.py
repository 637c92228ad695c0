import json
import os
from datetime import timedelta

import pytest
from pydantic import ValidationError

from sandbox_server.config import DEFAULT_LIMITS, LimitSettings, Settings
from sandbox_server.model import Limits


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CUPEL_SANDBOX_")]:
        monkeypatch.delenv(name)


def test_every_field_is_documented() -> None:
    for model in (Settings, LimitSettings):
        assert all(field.description for field in model.model_fields.values())


def test_defaults_are_those_of_the_model() -> None:
    assert Settings().default_limits.limits() == Limits()


def test_reads_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUPEL_SANDBOX_LISTEN", "unix:/run/a, 127.0.0.1:0")
    monkeypatch.setenv("CUPEL_SANDBOX_REQUIRED_WALLS", "seccomp,network_namespace")
    monkeypatch.setenv("CUPEL_SANDBOX_MAXIMUM_LIMITS", json.dumps(DEFAULT_LIMITS.model_dump()))
    monkeypatch.setenv("CUPEL_SANDBOX_MAXIMUM_LIMITS__CPU_TIME_S", "90")
    settings = Settings()
    assert settings.listen == ("unix:/run/a", "127.0.0.1:0")
    assert settings.required_walls == {"seccomp", "network_namespace"}
    assert settings.maximum_limits.limits().cpu_time == timedelta(seconds=90)


def test_options_go_before_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUPEL_SANDBOX_SLOTS", "3")
    assert (Settings().slots, Settings(slots=5).slots) == (3, 5)


def test_there_are_never_more_slots_than_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().slots <= Settings().cells
    assert Settings(cells=1).slots == 1
    monkeypatch.setenv("CUPEL_SANDBOX_CELLS", "2")
    assert (Settings(slots=2).slots, Settings().slots) == (2, 2)
    with pytest.raises(ValidationError, match="slots is 3, above cells: 2; raise cells with it"):
        Settings(slots=3)


@pytest.mark.parametrize("name", ["CUPEL_SANDBOX_SLOTZ", "CUPEL_SANDBOX_LIMITS__CPU", "cupel_sandbox_slot"])
def test_an_unknown_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(ValidationError, match=name):
        Settings()


@pytest.mark.parametrize(
    "options",
    [
        {"slots": 0},
        {"cells": 0},
        {"cells": "many"},
        {"cells": 5000},
        {"listen": ()},
        {"unheard_of": 1},
        {"runtime": "moon"},
        {"profiles": {"none": ("os",)}},
        {"profiles": {"A b": ("os",)}},
        {"profiles": {"a": ("os; import sys",)}},
        {"default_limits": DEFAULT_LIMITS.model_copy(update={"processes": 5000})},
    ],
)
def test_what_means_nothing_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings(**options)  # type: ignore[arg-type]  # wrong on purpose


def test_prints_as_json_that_it_reads_again() -> None:
    printed = json.loads(Settings(slots=7).printable())
    assert printed["slots"] == 7
    assert Settings(**printed) == Settings(slots=7)

"""The run's own server: started at once, only when it is needed, and never left behind."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from orchestrator import run
from orchestrator.config import load_config
from orchestrator.dispatch.child import Child
from orchestrator.errors import CupelError, InputError
from orchestrator.progress import Silence

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.config import Config
    from orchestrator.progress import RunProgress

MUTE = (sys.executable, "-c", "import time; time.sleep(1000)")


class Recorded(Child):
    """Keeps the process ids of what was started."""

    started: list[int] = []  # noqa: RUF012 -- emptied by the fixture

    def start(self) -> None:
        super().start()
        assert self.process_id is not None
        self.started.append(self.process_id)


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    Recorded.started.clear()
    monkeypatch.setattr(run, "Child", functools.partial(Recorded, command=MUTE))
    return Recorded.started


def config(folder: Path, *, task_id: str = "T/0") -> Config:
    problem = {"prompt": "def f():\n", "entry_point": "f", "canonical_solution": "    return 1\n"}
    test = "def check(f):\n    assert f() == 1\n"
    (folder / "data.jsonl").write_text(json.dumps({"task_id": "T/0", **problem, "test": test}) + "\n")
    (folder / "s.jsonl").write_text(json.dumps({"task_id": task_id, "completion": "    return 1\n"}) + "\n")
    options = {"dataset": "humaneval", "data": str(folder / "data.jsonl"), "samples": str(folder / "s.jsonl")}
    return load_config(options, {})


def is_gone(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return True
    return False


def test_the_server_is_on_its_way_before_anything_is_shown_and_goes_with_the_run(
    tmp_path: Path, started: list[int]
) -> None:
    alive: list[bool] = []

    def make_progress() -> RunProgress:
        alive.extend(not is_gone(number) for number in started)
        raise KeyboardInterrupt  # Ctrl-C in the imports that follow

    with pytest.raises(KeyboardInterrupt):
        run.evaluate(config(tmp_path), make_progress)
    assert alive == [True]
    assert is_gone(started[0])


def test_bad_samples_start_no_server(tmp_path: Path, started: list[int]) -> None:
    with pytest.raises(InputError):
        run.evaluate(config(tmp_path, task_id="T/7"), Silence)
    assert not started


def test_a_journal_that_cannot_be_used_starts_no_server(tmp_path: Path, started: list[int]) -> None:
    given = config(tmp_path)
    (tmp_path / "s_journal.jsonl").write_text("not a journal\n")
    with pytest.raises(CupelError):
        run.evaluate(given, Silence)
    assert not started


def test_named_servers_are_used_alone(tmp_path: Path, started: list[int]) -> None:
    given = config(tmp_path).model_copy(update={"sandbox": f"unix:{tmp_path}/nobody"})
    with pytest.raises(CupelError, match="no sandbox server answers"):
        run.evaluate(given, Silence)
    assert not started


@pytest.mark.parametrize(
    ("module", "later"),
    [
        ("orchestrator.cli", ("pydantic", "orchestrator.config")),
        ("orchestrator.cli.evaluate", ("pydantic", "grpc", "numpy", "rich")),
        ("orchestrator.cli.judging", ("grpc", "google.protobuf", "numpy", "rich", "uvloop")),
    ],
)
def test_what_costs_is_not_imported_before_the_server_is_on_its_way(module: str, later: tuple[str, ...]) -> None:
    program = f"import sys, {module}; print(*[name for name in {later!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []

"""Runs `cupel` as users do: a process, files, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ROTE = Path(__file__).with_name("rote_process.py")
PROBLEMS = 6


def _clean() -> dict[str, str]:
    """Returns this environment without settings of cupel's."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CUPEL_")}


@dataclass
class Workplace:
    """A folder with a small dataset, and the command to evaluate samples of it."""

    folder: Path

    def dataset(self, problems: int = PROBLEMS) -> None:
        """Writes problems."""
        rows = [
            {
                "task_id": f"T/{number}",
                "prompt": "def f():\n",
                "entry_point": "f",
                "canonical_solution": "    return 1\n",
                "test": "def check(f):\n    assert f() == 1\n",
            }
            for number in range(problems)
        ]
        self._write("data.jsonl", rows)

    def samples(self, completions: Sequence[str | tuple[int, str]], name: str = "s.jsonl") -> None:
        """Writes samples: texts, one for each problem in turn, or pairs of a problem's number and a text."""
        pairs = [one if isinstance(one, tuple) else (place, one) for place, one in enumerate(completions)]
        self._write(name, [{"task_id": f"T/{number}", "completion": text} for number, text in pairs])

    def _write(self, name: str, rows: Sequence[dict[str, Any]]) -> None:
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (self.folder / name).write_text(text)

    def command(self, *words: str, samples: str | None = "s.jsonl") -> list[str]:
        """Returns a command line."""
        given = ["--samples", samples] if samples else []
        base = [
            sys.executable,
            "-m",
            "orchestrator",
            "evaluate",
            "--dataset",
            "humaneval",
            "--data",
            "data.jsonl",
        ]
        return [*base, *given, *words]

    def evaluate(self, *words: str, samples: str | None = "s.jsonl") -> subprocess.CompletedProcess[str]:
        """Runs the command to its end."""
        return subprocess.run(
            self.command(*words, samples=samples),
            cwd=self.folder,
            env=_clean(),
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def start(self, *words: str, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """Starts the command."""
        return subprocess.Popen(
            self.command(*words),
            cwd=self.folder,
            env=_clean() | (environment or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def journaled(self) -> int:
        """Returns how many whole outcomes the journal holds."""
        path = self.folder / "s_journal.jsonl"
        return max(path.read_bytes().count(b"\n") - 1, 0) if path.exists() else 0

    def json(self, name: str) -> Any:
        """Returns a result file."""
        return json.loads((self.folder / name).read_text())

    def outcomes(self) -> list[Any]:
        """Returns the rows of the outcomes."""
        return [json.loads(line) for line in (self.folder / "s_outcomes.jsonl").read_text().splitlines()]


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    """A folder with the usual dataset."""
    place = Workplace(tmp_path)
    place.dataset()
    return place


@pytest.fixture
def rote(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Starts rote servers; gives their addresses."""
    processes: list[subprocess.Popen[str]] = []

    def start(delay_s: float = 0.0) -> str:
        path = tmp_path / f"server{len(processes)}"
        process = subprocess.Popen(
            [sys.executable, str(ROTE), str(path), str(delay_s)], stdout=subprocess.PIPE, text=True
        )
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return f"unix:{path}"

    yield start
    for process in processes:
        process.kill()
        process.communicate()

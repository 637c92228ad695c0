"""What the measurements judge: HumanEval's own reference solutions, over and over."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def read_problems(path: Path) -> list[dict[str, Any]]:
    """Returns HumanEval's problems, in the columns of its file."""
    data = path.read_bytes()
    text = gzip.decompress(data) if path.suffix == ".gz" else data
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def write_samples(problems: list[dict[str, Any]], count: int, path: Path) -> None:
    """Writes sample rows: each problem's reference solution in turn, until there are enough."""
    rows = []
    for number in range(count):
        problem = problems[number % len(problems)]
        rows.append({"task_id": problem["task_id"], "completion": problem["canonical_solution"]})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

"""Reads a dataset's file: a row for each problem, each task id once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import InputError
from orchestrator.formats.row import shown
from orchestrator.formats.rows import Faults, rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.formats.row import Row
    from orchestrator.model import Problem


def read_table(path: str, problem: Callable[[Row], Problem | None]) -> dict[str, Problem]:
    """Reads the problems of a JSONL(.gz) file, in its order.

    Args:
        path: The file.
        problem: Makes the problem of a row, None for one that is not asked for; raises
            `errors.InputError` for a row that it cannot use.

    Raises:
        errors.InputError: The file cannot be used; all that is wrong is told at once.
    """
    faults = Faults()
    problems: dict[str, Problem] = {}
    lines: dict[str, int] = {}
    seen = False
    for row in rows(path, faults):
        seen = True
        try:
            made = problem(row)
            if made is None:
                continue
            first = lines.setdefault(made.task_id, row.line)
            if first != row.line:
                raise row.fault(
                    f"{shown(made.task_id)} stands in line {first} already; remove one of the two", "task_id"
                )
            problems[made.task_id] = made
        except InputError as fault:
            faults.add(fault)
    faults.check()
    if not problems:
        what = "holds none of the problems that were asked for" if seen else "holds no problems"
        raise InputError(f"{what}; is it the right file?", file=path)
    return problems

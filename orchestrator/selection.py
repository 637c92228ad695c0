"""Which problems of a dataset a run is about, and whether all of them have samples. Pure."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from orchestrator.errors import InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.model import Completion

_NAMED_IN_MESSAGES = 5
_RANGE = re.compile(r"(\d+)-(\d+)")


def select(task_ids: Sequence[str], only_tasks: str | None, id_range: str | None) -> list[str]:
    """Returns the problems that the options ask for, in the dataset's order.

    Args:
        task_ids: All problems.
        only_tasks: Ids with commas between; what follows the last "/" of an id is enough ("13" for
            "BigCodeBench/13"), as in BigCodeBench's `selective_evaluate`.
        id_range: "A-B": places in the dataset's order, from A up to but not including B.

    Raises:
        errors.UsageError: An id or a range means nothing.
    """
    if id_range is not None:
        match = _RANGE.fullmatch(id_range.strip())
        if match is None:
            raise UsageError(f"--id-range: {id_range!r} is not of the form A-B, such as 0-50")
        first, end = int(match[1]), int(match[2])
        if not first < end or first >= len(task_ids):
            raise UsageError(
                f"--id-range: {id_range} selects nothing: the {len(task_ids)} problems count from 0, "
                "and B itself is not included"
            )
        return list(task_ids[first:end])
    if only_tasks is None:
        return list(task_ids)
    by_name = {task_id.rsplit("/", 1)[-1]: task_id for task_id in task_ids}
    by_name |= {task_id: task_id for task_id in task_ids}
    wanted: set[str] = set()
    for name in filter(None, (part.strip() for part in only_tasks.split(","))):
        if name not in by_name:
            close = difflib.get_close_matches(name, by_name, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise UsageError(f"--only-tasks: the dataset has no problem {name!r}{hint}")
        wanted.add(by_name[name])
    if not wanted:
        raise UsageError("--only-tasks names no problem")
    return [task_id for task_id in task_ids if task_id in wanted]


def restrict(
    completions: Sequence[Completion], selected: Sequence[str], *, partial: bool, file: str
) -> list[Completion]:
    """Returns the completions of selected problems, in the dataset's order, then by index.

    A score over the problems that happen to have samples is not the dataset's score, so it takes a word from
    the user (`--partial`, or a selection) to get one.

    Raises:
        errors.InputError: Problems have no samples and `partial` is false, or no problem has any.
    """
    by_task: dict[str, list[Completion]] = {task_id: [] for task_id in selected}
    for completion in completions:
        if completion.task_id in by_task:
            by_task[completion.task_id].append(completion)
    missing = [task_id for task_id, found in by_task.items() if not found]
    if missing and (not partial or len(missing) == len(selected)):
        more = f" and {len(missing) - _NAMED_IN_MESSAGES} more" if len(missing) > _NAMED_IN_MESSAGES else ""
        named = ", ".join(missing[:_NAMED_IN_MESSAGES]) + more
        raise InputError(
            f"{len(missing)} of {len(selected)} problems have no samples: {named}. Add them, "
            "or score the others alone with --partial, or choose problems with --only-tasks or --id-range",
            file=file,
        )
    return [one for found in by_task.values() for one in sorted(found, key=lambda each: each.index)]

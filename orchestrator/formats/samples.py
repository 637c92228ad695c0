r"""Reads what models wrote: sample files and folders as BigCodeBench, EvalPlus and HumanEval have them.

A file has a row (a JSON object on a line) for each sample:

    {"task_id": "HumanEval/0", "completion": "    return 1\n"}

    task_id         the problem. Several samples of one problem repeat it.
    solution        the whole program, or
    completion      what continues the problem's prompt. `solution` wins where a row has both.
    completion_id   optional: the sample's number among those of its problem. All rows of a problem have one,
                    or none; without it rows count from 0 in the order of the file.
    sample_id       optional: any name. Like `completion_id` it must not come twice: a doubled row would be
                    counted twice.
    limits          optional: {"cpu_time_s", "wall_time_s", "memory_bytes", "processes", "output_bytes",
                    "captured_bytes", "disk_bytes", "file_size_bytes", "open_files"}: limits of this sample
                    alone, in place of the dataset's.

Other fields are left alone. A folder has a folder for each problem, named by its id with "_" for "/", and in
it whole programs named 0.py, 1.py and so on.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import InputError
from orchestrator.formats.row import closest, shown
from orchestrator.formats.rows import MAXIMUM_LINE_BYTES, Faults, rows
from orchestrator.model import Completion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.datasets.base import Dataset
    from orchestrator.formats.row import Row

_NUMBERED = re.compile(r"([0-9]{1,9})\.py")


def read_samples(path: str, dataset: Dataset) -> list[Completion]:
    """Reads the samples of a file or a folder, in its order.

    Raises:
        errors.InputError: Something is wrong. All that is wrong is told at once, up to `rows.MAXIMUM_FAULTS`
            faults, each with file, line and field.
    """
    faults = Faults()
    completions = _read_folder(path, dataset, faults) if _is_folder(path) else _read_file(path, dataset, faults)
    faults.check()
    if not completions:
        raise InputError(
            "holds no samples; is it the right file? Each line is an object such as "
            '{"task_id": "...", "solution": "..."}',
            file=path,
        )
    return completions


def _is_folder(path: str) -> bool:
    """Returns whether a path names a folder; whatever is wrong with it is told when it is opened."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


class _Places:
    """The places where names were seen first, so that a second one can point to the first."""

    def __init__(self) -> None:
        self._lines: dict[object, int] = {}

    def claim(self, row: Row, field: str, name: object, words: str) -> None:
        """Notes a name, which must not have come before."""
        first = self._lines.setdefault(name, row.line)
        if first != row.line:
            raise row.fault(f"{words} stands in line {first} already; remove one of the two", field)


class _Numbering:
    """Gives the completions of each problem their numbers."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._explicit: dict[str, bool] = {}
        self._places = _Places()

    def index(self, row: Row, task_id: str) -> int:
        """Returns the number of a row's completion: its own, or the next."""
        number = row.count("completion_id")
        if self._explicit.setdefault(task_id, number is not None) != (number is not None):
            raise row.fault(
                f"some rows of {shown(task_id)} have one and others do not; give it to all or to none",
                "completion_id",
            )
        if number is not None:
            self._places.claim(row, "completion_id", (task_id, number), f"completion {number} of {shown(task_id)}")
            return number
        self._counts[task_id] = self._counts.get(task_id, -1) + 1
        return self._counts[task_id]


def _read_file(path: str, dataset: Dataset, faults: Faults) -> list[Completion]:
    """Reads a JSONL file."""
    problems = dataset.problems
    numbering, names = _Numbering(), _Places()
    completions = []
    for row in rows(path, faults):
        try:
            task_id = row.name("task_id")
            if task_id not in problems:
                hint = "" if faults.full else closest(task_id, problems)
                raise row.fault(
                    f"{dataset.name} has no problem {shown(task_id)}{hint or '; is it the right dataset?'}",
                    "task_id",
                )
            if row.has("sample_id"):
                name = row.name("sample_id")
                names.claim(row, "sample_id", name, f"sample {shown(name)}")
            is_solution = row.has("solution")
            if not is_solution and not row.has("completion"):
                raise row.fault("and 'completion' are missing; one of them must hold the program", "solution")
            completions.append(
                Completion(
                    task_id=task_id,
                    index=numbering.index(row, task_id),
                    text=row.text("solution" if is_solution else "completion"),
                    is_solution=is_solution,
                    source=row.place,
                    limits=row.limits(),
                )
            )
        except InputError as fault:
            faults.add(fault)
    return completions


def _read_folder(path: str, dataset: Dataset, faults: Faults) -> list[Completion]:
    """Reads a folder of folders of programs."""
    by_folder = {task_id.replace("/", "_"): task_id for task_id in dataset.problems}
    found: dict[str, list[Completion]] = {}
    try:
        # Hidden folders and __pycache__ are what tools leave behind; files at the top are results and notes.
        folders = sorted(one for one in Path(path).iterdir() if one.is_dir() and one.name[0] not in "._")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", file=path) from error
    for folder in folders:
        task_id = by_folder.get(folder.name)
        if task_id is None:
            hint = ("" if faults.full else closest(folder.name, by_folder)) or "; is it the right dataset?"
            faults.add(
                InputError(f"no problem of {dataset.name} is called so, with '_' for '/'{hint}", file=str(folder))
            )
            continue
        found[task_id] = list(_programs(folder, task_id, faults))
    return [one for task_id in dataset.problems for one in found.get(task_id, ())]


def _programs(folder: Path, task_id: str, faults: Faults) -> Iterator[Completion]:
    """Yields the programs of a problem's folder, in the order of their numbers."""
    numbered: dict[int, Path] = {}
    try:
        for file in sorted(folder.glob("*.py")):
            match = _NUMBERED.fullmatch(file.name)
            if match is None:
                faults.add(InputError("is not named by a number, such as 0.py; rename it", file=str(file)))
            elif int(match[1]) in numbered:
                other = numbered[int(match[1])].name
                faults.add(InputError(f"has the same number as {other}; remove one of the two", file=str(file)))
            else:
                numbered[int(match[1])] = file
    except OSError as error:
        faults.add(InputError(f"cannot be read: {error.strerror or error}", file=str(folder)))
    for number, file in sorted(numbered.items()):
        try:
            text = _program(file)
        except InputError as fault:
            faults.add(fault)
        else:
            yield Completion(task_id, number, text, is_solution=True, source=str(file))


def _program(file: Path) -> str:
    """Returns the text of a program, with line ends as Python's text files have them."""
    try:
        if not file.is_file():
            raise InputError("is not a regular file; remove it", file=str(file))
        if file.stat().st_size > MAXIMUM_LINE_BYTES:
            raise InputError(f"is larger than {MAXIMUM_LINE_BYTES >> 20} MiB; shorten it", file=str(file))
        data = file.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", file=str(file)) from error
    try:
        return data.decode().replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError("is not UTF-8; save the file in that encoding", file=str(file), line=line) from None

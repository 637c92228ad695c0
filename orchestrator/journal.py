"""The append-only file that makes a run resumable.

One JSON object a line. The first names the run: what its results depend on. Each other is an outcome, written
with one system call as soon as it arrives, so that the operating system has it before the next one is looked
at: kill -9 loses only what was in flight. (A power cut may lose more; there is no fsync.)

What is in the journal counts once:

- Outcomes carry a digest of their sample. One whose sample has changed since, because a line of the sample
  file was mended, say, is passed over and that sample runs again; all others are kept.
- A sample that stayed SANDBOX_ERROR runs again.
- A last line without its end was cut by a kill: it is removed. A garbled line elsewhere is passed over,
  counted, and told to the user.

The journal of another run (another dataset, other options that change verdicts, no sample in common) is never
continued and never overwritten.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from orchestrator.errors import CupelError, ResultsExistError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from typing import Self

    from orchestrator.model import Sample

FORMAT = 1
_BEGINNING = b'{"journal":'
_ADVICE = (
    "continue that run with its own options, choose another --out, "
    "or start anew with --no-resume, which keeps it as .bak"
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One journaled outcome."""

    sample_id: str
    digest: str
    outcome: dict[str, Any]


def sample_digest(sample: Sample) -> str:
    """Returns a digest of everything of a sample that its verdict depends on.

    A record's `repr` has all its fields by name, so that a new field changes digests.
    """
    return hashlib.blake2b(repr(sample).encode(), digest_size=12).hexdigest()


class JournalDamagedError(ValueError):
    """Raised when a line is not an entry."""


def parse_entry(line: bytes) -> Entry:
    """Returns the entry of a line.

    Raises:
        JournalDamagedError: It is none.
    """
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise JournalDamagedError(str(error)) from error
    if not isinstance(row, dict):
        raise JournalDamagedError("not an object")
    sample_id, digest, outcome = row.get("sample_id"), row.get("digest"), row.get("outcome")
    if not isinstance(sample_id, str) or not isinstance(digest, str) or not isinstance(outcome, dict):
        raise JournalDamagedError("not a journal entry")
    return Entry(sample_id, digest, outcome)


class Journal:
    """An open journal, locked against other runs.

    It keeps where each outcome stands in the file, never the outcomes themselves. Use `open_journal`.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._end = os.fstat(descriptor).st_size
        self._places: dict[str, tuple[int, int]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)  # which also unlocks

    def __contains__(self, sample_id: str) -> bool:
        return sample_id in self._places

    def append(self, sample_id: str, digest: str, outcome: Mapping[str, Any]) -> None:
        """Writes an outcome; it survives this process from here on.

        Raises:
            errors.CupelError: The disk is full, or the file is gone.
        """
        self._write(orjson.dumps({"sample_id": sample_id, "digest": digest, "outcome": outcome}) + b"\n", sample_id)

    def outcome(self, sample_id: str) -> dict[str, Any]:
        """Reads an outcome back."""
        start, length = self._places[sample_id]
        return parse_entry(os.pread(self._descriptor, length, start)).outcome

    def write_header(self, run: Mapping[str, Any]) -> None:
        """Writes the first line of an empty journal."""
        self._write(orjson.dumps({"journal": FORMAT, "run": run}) + b"\n", None)

    def _write(self, line: bytes, sample_id: str | None) -> None:
        start = self._end
        try:
            written = 0
            while written < len(line):
                written += os.write(self._descriptor, line[written:])
        except OSError as error:
            raise CupelError(
                f"{self.path}: cannot write the journal: {error.strerror}. What it holds is kept; "
                "the same command continues the run"
            ) from error
        self._end = start + len(line)
        if sample_id is not None:
            self._places[sample_id] = (start, len(line))

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Gives whole lines with their offsets; cuts off what follows the last one."""
        with os.fdopen(os.dup(self._descriptor), "rb") as stream:
            stream.seek(0)
            start = 0
            for line in stream:
                if not line.endswith(b"\n"):
                    if start == 0 and not line.startswith(_BEGINNING[: len(line)]):
                        raise ResultsExistError(f"{self.path}: this is no journal; {_ADVICE}")
                    os.ftruncate(self._descriptor, start)
                    break
                yield start, line
                start += len(line)
        self._end = start

    def read(self, run: Mapping[str, Any], take: Callable[[Entry], bool]) -> tuple[int, int]:
        """Reads what is there and offers each entry to `take`, which says whether it counts.

        Returns:
            How many lines were garbled, and how many whole entries did not count.

        Raises:
            errors.ResultsExistError: It is the journal of another run.
        """
        garbled = passed_over = 0
        has_header = False
        for start, line in self._lines():
            if not has_header:
                _check_header(self.path, line, run)
                has_header = True
                continue
            try:
                entry = parse_entry(line)
            except JournalDamagedError:
                garbled += 1
                continue
            if take(entry):
                self._places[entry.sample_id] = (start, len(line))
            else:
                passed_over += 1
        if not has_header:
            self.write_header(run)
        return garbled, passed_over


def open_journal(path: Path) -> Journal:
    """Opens a journal, made if need be, and locks it.

    Raises:
        errors.UsageError: Another run has it open, or it cannot be opened.
    """
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise UsageError(f"{path}: cannot open: {error.strerror}; choose another --out") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Another run may have moved the file away between the two calls.
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                return Journal(path, descriptor)
        except BlockingIOError as error:
            os.close(descriptor)
            raise UsageError(f"{path}: another run writes this journal; wait for it or choose another --out") from error
        os.close(descriptor)


def keep_old(path: Path) -> Path | None:
    """Moves a file to the first free of `.bak`, `.bak2`, ...; returns where, None if there was none."""
    if not path.exists():
        return None
    kept = path.with_name(f"{path.name}.bak")
    number = 1
    while kept.exists():
        number += 1
        kept = path.with_name(f"{path.name}.bak{number}")
    return path.rename(kept)


def _check_header(path: Path, line: bytes, run: Mapping[str, Any]) -> None:
    """Raises unless a journal's first line is that of this run."""
    try:
        header = orjson.loads(line)
    except orjson.JSONDecodeError:
        header = None
    if not isinstance(header, dict) or header.get("journal") != FORMAT or not isinstance(header.get("run"), dict):
        raise ResultsExistError(f"{path}: this is no journal that this version can read; {_ADVICE}")
    theirs = header["run"]
    differences = [
        f"{name} was {theirs.get(name)!r}, is {run.get(name)!r}"
        for name in dict.fromkeys([*run, *theirs])
        if theirs.get(name) != run.get(name)
    ]
    if differences:
        raise ResultsExistError(
            f"{path}: this is the journal of another run: {'; '.join(differences)}. To go on, {_ADVICE}"
        )

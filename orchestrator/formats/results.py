"""Result files: BigCodeBench's `eval_results.json` and `pass_at_k.json`, and every outcome in full.

Files are written beside their place and moved there, so that nobody reads half of one, and row by row, so
that size does not matter. What the sandbox failed at is in none of BigCodeBench's files: a row there counts
as a fail for everybody who reads them.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import orjson

from orchestrator.errors import CupelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from orchestrator.model import CompatStatus, Result

_MODEL_MARK = "--bigcodebench-"
_COMPAT_WORDS: dict[str, CompatStatus] = {
    "pass": "pass",
    "passed": "pass",
    "timeout": "timeout",
    "timed out": "timeout",
}


@dataclass(frozen=True, slots=True)
class ResultPaths:
    """Where a run's files are."""

    out: Path
    stem: str

    @classmethod
    def of(cls, samples: str, out: Path | None) -> ResultPaths:
        """Returns the files of a run; `out` is their folder, beside the samples by default."""
        path = Path(samples)
        stem = path.name or path.resolve().name
        for ending in (".gz", ".jsonl"):
            stem = stem.removesuffix(ending)
        return cls(out if out is not None else path.parent, stem)

    @property
    def eval_results(self) -> Path:
        """Every sample's status, in BigCodeBench's schema."""
        return self.out / f"{self.stem}_eval_results.json"

    @property
    def pass_at_k(self) -> Path:
        """The scores, in BigCodeBench's schema."""
        return self.out / f"{self.stem}_pass_at_k.json"

    @property
    def outcomes(self) -> Path:
        """Everything."""
        return self.out / f"{self.stem}_outcomes.jsonl"

    @property
    def journal(self) -> Path:
        """What makes the run resumable."""
        return self.out / f"{self.stem}_journal.jsonl"

    @property
    def log(self) -> Path:
        """What the embedded sandbox server says."""
        return self.out / f"{self.stem}_sandbox.log"

    @property
    def results(self) -> tuple[Path, ...]:
        """The files that a finished run leaves."""
        return self.eval_results, self.pass_at_k, self.outcomes


@dataclass(frozen=True, slots=True)
class Row:
    """A result, and the program it is about."""

    result: Result
    solution: str


def compat_word(status: str) -> CompatStatus:
    """Returns BigCodeBench's word for what an original harness would have said ("failed: ..." is "fail")."""
    return _COMPAT_WORDS.get(status, "fail")


def write_eval_results(path: Path, rows: Iterable[Row], date: datetime) -> None:
    """Writes `eval_results.json`.

    Args:
        path: The file.
        rows: Ordered by problem, then by index.
        date: When the run ended.
    """
    with _replacing(path) as stream:
        stream.write(f'{{\n  "date": {json.dumps(f"{date:%Y-%m-%d %H:%M}")},\n  "eval": {{'.encode())
        current: str | None = None
        for row in rows:
            result = row.result
            if result.is_sandbox_error:
                continue
            entry = {
                "task_id": result.task_id,
                "solution": row.solution,
                "status": compat_word(result.compat_status),
                "details": result.details,
            }
            text = json.dumps(entry, indent=2).replace("\n", "\n      ")
            if result.task_id != current:
                end = "" if current is None else "\n    ],"
                stream.write(f"{end}\n    {json.dumps(result.task_id)}: [\n      {text}".encode())
                current = result.task_id
            else:
                stream.write(f",\n      {text}".encode())
        stream.write(b"}\n}" if current is None else b"\n    ]\n  }\n}")


def pass_at_k_record(
    scores: Mapping[int, float],
    *,
    stem: str,
    split: str,
    subset: str,
    calibrated: bool,
    failed_references: Sequence[str] | None,
    references: int,
) -> dict[str, Any]:
    """Returns what stands in `pass_at_k.json`.

    Args:
        scores: pass@k in the compat view, by k.
        stem: The sample file's name without its ending; it begins with the model's name.
        split: As asked for.
        subset: As asked for.
        calibrated: As asked for.
        failed_references: Problems whose reference solution does not pass; None where none was run.
        references: How many reference solutions were run.
    """
    rate = None if failed_references is None or not references else 1 - len(failed_references) / references
    return {
        **{f"pass@{k}": score for k, score in scores.items()},
        "model": stem.split(_MODEL_MARK, maxsplit=1)[0],
        "split": split,
        "subset": subset,
        "calibrated": calibrated,
        "gt_pass_rate": rate,
        "failed_tasks": None if failed_references is None else list(failed_references),
    }


def write_pass_at_k(path: Path, record: Mapping[str, Any]) -> None:
    """Writes `pass_at_k.json`."""
    with _replacing(path) as stream:
        stream.write(json.dumps(record, indent=2).encode())


def writing_outcomes(path: Path, rows: Iterable[Row]) -> Iterator[Row]:
    """Writes every outcome in full while its row passes by: to read and assemble rows twice takes 0.1 s per 1,000.

    A line is the contract's JSON mapping, the problem, the index, the program. The file is there when the last
    row was taken.
    """
    with _replacing(path) as stream:
        for row in rows:
            line = {
                "task_id": row.result.task_id,
                "index": row.result.index,
                **row.result.outcome,
                "solution": row.solution,
            }
            stream.write(orjson.dumps(line) + b"\n")
            yield row


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """Gives a stream whose content replaces a file when all of it was written."""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    except OSError as error:
        raise CupelError(f"{path}: cannot write: {error.strerror}; the journal holds all results") from error
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            mask = os.umask(0)
            os.umask(mask)
            os.fchmod(stream.fileno(), 0o666 & ~mask)
        temporary.replace(path)
    except OSError as error:
        raise CupelError(f"{path}: cannot write: {error.strerror}; the journal holds all results") from error
    finally:
        temporary.unlink(missing_ok=True)

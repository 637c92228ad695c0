"""What each evaluator said of each sample, read from its result files, and where two differ. No processes here."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.performance.original import MeasurementError

if TYPE_CHECKING:
    from pathlib import Path


class Verdict(NamedTuple):
    """One evaluator's word on a sample."""

    passed: bool
    word: str


Verdicts = dict[str, list[Verdict]]
"""By problem, in the order of its samples."""


class Difference(NamedTuple):
    """A sample of which two evaluators do not say the same."""

    sample: str
    peer: str
    cupel: str


def read_humaneval(path: Path) -> Verdicts:
    """Reads `<samples>_results.jsonl` of HumanEval's evaluator: the samples' rows, with `passed` and `result`."""
    found: defaultdict[str, list[Verdict]] = defaultdict(list)
    for row in _rows(path):
        found[row["task_id"]].append(Verdict(row["passed"], row["result"][:80]))
    return dict(found)


def read_evalplus(path: Path) -> Verdicts:
    """Reads `<samples>_eval_results.json` of EvalPlus: the base tests alone."""
    return _evaluated(path, "base_status")


def read_bigcodebench(path: Path) -> Verdicts:
    """Reads `<samples>_eval_results.json` of BigCodeBench."""
    return _evaluated(path, "status")


def read_cupel(path: Path) -> Verdicts:
    """Reads `<stem>_outcomes.jsonl`: the compat view, which is to say what the originals say."""
    found: defaultdict[str, dict[int, Verdict]] = defaultdict(dict)
    for row in _rows(path):
        word = row["verdict"].removeprefix("VERDICT_")
        # A sample that was not judged has no view; it counts as different from whatever the peer says.
        found[row["task_id"]][row["index"]] = Verdict(row.get("compat", {}).get("passed", False), word)
    return {task_id: [by_index[index] for index in sorted(by_index)] for task_id, by_index in found.items()}


def passes(verdicts: Verdicts) -> int:
    """Returns how many samples passed."""
    return sum(verdict.passed for of_problem in verdicts.values() for verdict in of_problem)


def differences(peer: Verdicts, cupel: Verdicts) -> list[Difference]:
    """Returns the samples of which one says that they pass and the other does not, or does not speak."""
    found = []
    for task_id in sorted(peer.keys() | cupel.keys(), key=_in_order):
        theirs, ours = peer.get(task_id, []), cupel.get(task_id, [])
        for index in range(max(len(theirs), len(ours))):
            one = theirs[index] if index < len(theirs) else None
            other = ours[index] if index < len(ours) else None
            if one is not None and other is not None and one.passed == other.passed and other.word != "SANDBOX_ERROR":
                continue
            name = task_id if max(len(theirs), len(ours)) == 1 else f"{task_id}#{index}"
            found.append(Difference(name, one.word if one else "nothing", other.word if other else "nothing"))
    return found


def _evaluated(path: Path, field: str) -> Verdicts:
    rows = json.loads(path.read_text(encoding="utf-8"))["eval"]
    return {
        task_id: [Verdict(row[field] == "pass", row[field]) for row in of_problem]
        for task_id, of_problem in rows.items()
    }


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def only(folder: Path, pattern: str) -> Path:
    """Returns the one file in a folder that has such a name.

    Raises:
        MeasurementError: There is none, or there are several.
    """
    found = list(folder.glob(pattern))
    if len(found) != 1:
        raise MeasurementError(f"{folder} has {len(found)} files {pattern}, not one")
    return found[0]


def _in_order(task_id: str) -> tuple[str, int, str]:
    head, _, tail = task_id.rpartition("/")
    return head, int(tail) if tail.isdecimal() else -1, tail

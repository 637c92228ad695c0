"""What a run adds up to: scores in both views, counts, and where the views differ."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.scoring.intervals import Score, score
from orchestrator.scoring.pass_at_k import pass_at_k

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from orchestrator.model import Result

DEFAULT_KS = (1, 5, 10)
_MASKED = frozenset({"SANDBOX_ERROR", "CANCELLED"})
"""Verdicts that say nothing of the sample: the server failed, or somebody stopped it."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A sample that passes in one view and not in the other."""

    sample_id: str
    task_id: str
    index: int
    verdict: str
    compat_passed: bool
    strict_passed: bool
    reasons: tuple[str, ...]
    """Why, by the server's words, which may quote the program: hostile text."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run adds up to."""

    num_problems: int
    """Problems with at least one result, masked or not."""
    num_samples: int
    """Results, masked ones among them."""
    compat: Mapping[int, Score]
    """pass@k by k, in rising order: what the original harness would have said."""
    strict: Mapping[int, Score]
    """pass@k by k, in rising order: what is true."""
    left_out: Mapping[int, str]
    """Why there is no pass@k, for each k that was asked for and is not in `compat` and `strict`."""
    verdicts: Mapping[str, int]
    """How often each verdict was given, the most frequent first."""
    masked: tuple[str, ...]
    """Samples that say nothing, and so count in no score."""
    unscored_problems: tuple[str, ...]
    """Problems all of whose samples are masked, and so count in no score."""
    differences: tuple[Difference, ...]
    """Samples that pass in one view alone."""


def summarize(results: Iterable[Result], ks: Sequence[int] = DEFAULT_KS) -> Summary:
    """Adds up the results of a run.

    pass@k is given for those k that no problem has fewer samples than, as the original harnesses do: a mean
    over a part of the problems would not be the same score. Masked samples do not count among a problem's
    samples, and a problem left with none counts in no score.

    Args:
        results: One for each sample, in any order; the summary does not depend on it.
        ks: The k to give pass@k for.

    Raises:
        ValueError: A sample has two results, or a k is below 1.
    """
    if any(k < 1 for k in ks):
        raise ValueError("every k must be at least 1")
    counts: dict[str, list[int]] = {}  # task id: judged, passed in compat, passed in strict
    verdicts: Counter[str] = Counter()
    seen: set[str] = set()
    masked: list[str] = []
    differences: list[Difference] = []
    for result in sorted(results, key=lambda one: (one.task_id, one.index)):
        if result.sample_id in seen:
            raise ValueError(f"sample {result.sample_id!r} has two results")
        seen.add(result.sample_id)
        verdicts[result.verdict] += 1
        count = counts.setdefault(result.task_id, [0, 0, 0])
        if result.verdict in _MASKED:
            masked.append(result.sample_id)
            continue
        count[0] += 1
        count[1] += result.compat_passed
        count[2] += result.strict_passed
        if result.compat_passed != result.strict_passed:
            differences.append(_difference(result))
    judged, compat, strict = (
        np.array([count[i] for count in counts.values() if count[0]], dtype=np.int64) for i in range(3)
    )
    left_out = {k: reason for k in sorted(set(ks)) if (reason := _why_not(k, judged, counts))}
    given = [k for k in sorted(set(ks)) if k not in left_out]
    total = int(judged.sum())
    return Summary(
        num_problems=len(counts),
        num_samples=len(seen),
        compat={k: score(pass_at_k(judged, compat, k), total) for k in given},
        strict={k: score(pass_at_k(judged, strict, k), total) for k in given},
        left_out=left_out,
        verdicts=dict(sorted(verdicts.items(), key=lambda item: (-item[1], item[0]))),
        masked=tuple(masked),
        unscored_problems=tuple(task_id for task_id, count in counts.items() if not count[0]),
        differences=tuple(differences),
    )


def _why_not(k: int, judged: np.typing.NDArray[np.int64], counts: Mapping[str, Sequence[int]]) -> str:
    """Returns why pass@k cannot be given, or nothing when it can."""
    if judged.size == 0:
        return "no sample was judged"
    fewest = int(judged.min())
    if fewest >= k:
        return ""
    first = next(task_id for task_id, count in counts.items() if count[0] == fewest)
    number = int((judged < k).sum())
    return f"{number} of {judged.size} problems have fewer than {k} judged samples: {first} has {fewest}"


def _difference(result: Result) -> Difference:
    """Returns the difference that a result shows."""
    strict = result.outcome.get("strict")
    reasons = strict.get("reasons") if isinstance(strict, dict) else None
    words = tuple(str(reason) for reason in reasons) if isinstance(reasons, list) else ()
    return Difference(
        sample_id=result.sample_id,
        task_id=result.task_id,
        index=result.index,
        verdict=result.verdict,
        compat_passed=result.compat_passed,
        strict_passed=result.strict_passed,
        reasons=words or (result.explanation,),
    )

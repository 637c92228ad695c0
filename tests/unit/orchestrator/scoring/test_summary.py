from __future__ import annotations

import random

import pytest

from orchestrator.model import Result
from orchestrator.scoring import Summary, pass_at_k, summarize


def result(
    task_id: str,
    index: int,
    verdict: str = "PASSED",
    *,
    compat: bool | None = None,
    reasons: list[str] | None = None,
) -> Result:
    passed = verdict == "PASSED"
    return Result(
        sample_id=f"{task_id}#{index}",
        task_id=task_id,
        index=index,
        attempt=1,
        verdict=verdict,
        explanation=f"it {verdict.lower()}",
        compat_passed=passed if compat is None else compat,
        compat_status="pass" if passed else "fail",
        strict_passed=passed,
        details={},
        outcome={} if reasons is None else {"strict": {"reasons": reasons}},
    )


def test_scores_both_views_and_counts() -> None:
    summary = summarize(
        [
            result("a", 0),
            result("a", 1, "WRONG_OUTPUT"),
            result("b", 0, "TAMPERED", compat=True, reasons=["assertEqual was replaced"]),
            result("b", 1, "WRONG_OUTPUT"),
        ],
        [1, 2],
    )
    assert summary.num_problems == 2
    assert summary.num_samples == 4
    assert {k: score.value for k, score in summary.compat.items()} == {1: 0.5, 2: 1.0}
    assert {k: score.value for k, score in summary.strict.items()} == {1: 0.25, 2: 0.5}
    assert list(summary.verdicts.items()) == [("WRONG_OUTPUT", 2), ("PASSED", 1), ("TAMPERED", 1)]
    (difference,) = summary.differences
    assert (difference.sample_id, difference.verdict) == ("b#0", "TAMPERED")
    assert difference.compat_passed
    assert not difference.strict_passed
    assert difference.reasons == ("assertEqual was replaced",)


def test_a_difference_without_reasons_tells_the_explanation() -> None:
    odd = result("a", 0, "TAMPERED", compat=True)
    assert summarize([odd]).differences[0].reasons == ("it tampered",)


def test_failures_of_the_sandbox_are_no_failures_of_samples() -> None:
    summary = summarize(
        [result("a", 0), result("a", 1, "SANDBOX_ERROR"), result("a", 2, "CANCELLED"), result("b", 0)], [1]
    )
    assert summary.strict[1].value == 1.0
    assert summary.masked == ("a#1", "a#2")
    assert summary.verdicts == {"PASSED": 2, "SANDBOX_ERROR": 1, "CANCELLED": 1}
    assert summary.num_samples == 4


def test_a_problem_with_masked_samples_alone_counts_in_no_score() -> None:
    summary = summarize([result("a", 0), result("b", 0, "SANDBOX_ERROR")], [1])
    assert summary.strict[1].value == 1.0
    assert summary.unscored_problems == ("b",)
    assert summary.num_problems == 2


def test_k_above_the_fewest_samples_is_left_out_with_a_reason() -> None:
    summary = summarize([result("a", i) for i in range(5)] + [result("b", 0), result("b", 1)])
    assert list(summary.compat) == [1]
    assert list(summary.left_out) == [5, 10]
    assert summary.left_out[5] == "1 of 2 problems have fewer than 5 judged samples: b has 2"


def test_masking_can_take_a_k_away() -> None:
    results = [result("a", i) for i in range(5)]
    assert 5 in summarize(results).compat
    results[3] = result("a", 3, "SANDBOX_ERROR")
    assert summarize(results).left_out[5].endswith("a has 4")


def test_nothing_judged_gives_no_score() -> None:
    for results in ([], [result("a", 0, "SANDBOX_ERROR")]):
        summary = summarize(results, [1])
        assert summary.compat == summary.strict == {}
        assert summary.left_out == {1: "no sample was judged"}


def test_agrees_with_the_estimator_and_not_with_the_order() -> None:
    shuffle = random.Random(5)
    counts = {f"t{i}": (10, shuffle.randrange(11)) for i in range(30)}
    results = [
        result(task, i, "PASSED" if i < passed else "RUNTIME_ERROR")
        for task, (total, passed) in counts.items()
        for i in range(total)
    ]
    summaries: list[Summary] = []
    for _ in range(3):
        shuffle.shuffle(results)
        summaries.append(summarize(results, [10, 1, 5, 5]))
    assert summaries[0] == summaries[1] == summaries[2]
    assert list(summaries[0].strict) == [1, 5, 10]
    n, c = zip(*counts.values(), strict=True)
    for k, score in summaries[0].strict.items():
        assert score.value == pytest.approx(pass_at_k(n, c, k).mean())


def test_refuses_two_results_of_a_sample_and_a_k_of_0() -> None:
    with pytest.raises(ValueError, match="'a#0' has two results"):
        summarize([result("a", 0), result("a", 0, "RUNTIME_ERROR")])
    with pytest.raises(ValueError, match="every k"):
        summarize([], [0])

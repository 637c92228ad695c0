from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.scoring import Score, pass_at_k, score


def wilson(passed: int, of: int) -> tuple[float, float]:
    """Wilson's interval by its definition: the roots of (p - x)^2 = z^2 x (1 - x) / n."""
    z2 = 1.959963984540054**2
    a, b, c = 1 + z2 / of, -(2 * passed / of + z2 / of), (passed / of) ** 2
    root = math.sqrt(max(0.0, b * b - 4 * a * c))
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


@pytest.mark.parametrize(("passed", "of"), [(0, 1), (1, 1), (0, 3), (3, 3), (1, 2), (72, 164), (397, 1140)])
def test_one_sample_a_problem_gives_wilsons_interval(passed: int, of: int) -> None:
    got = score([1.0] * passed + [0.0] * (of - passed), of)
    low, high = wilson(passed, of)
    assert got.value == pytest.approx(passed / of)
    assert got.low == pytest.approx(low, abs=1e-12)
    assert got.high == pytest.approx(high, abs=1e-12)


def test_all_or_nothing_is_not_certainty() -> None:
    assert score([1.0] * 3, 30).low < 0.5
    assert score([0.0] * 3, 30).high > 0.5


def test_a_single_problem_says_little_of_others() -> None:
    got = score([0.5], 1000)
    assert got.high - got.low > 0.8


def test_problems_that_differ_less_say_more() -> None:
    alike, apart = score([0.4, 0.6] * 20, 400), score([0.0, 1.0] * 20, 400)
    assert alike.value == apart.value
    assert alike.high - alike.low < (apart.high - apart.low) / 2


def test_is_never_narrower_than_all_samples_thrown_together() -> None:
    got = score([0.5] * 40, 400)
    low, high = wilson(200, 400)
    assert got.low <= low + 1e-12
    assert got.high >= high - 1e-12


def test_holds_the_true_mean_about_as_often_as_it_says() -> None:
    """The seed is fixed, so the runs are the same every time."""
    random = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        passed = random.binomial(5, random.beta(0.5, 0.8, 50))
        got = score(pass_at_k(np.full(50, 5), passed, 1), 250)
        held += got.low <= 0.5 / 1.3 <= got.high
    assert 0.92 <= held / 400 <= 0.98


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.integers(1, 100))
def test_holds_its_mean_within_0_and_1(values: list[float], each: int) -> None:
    got = score(values, len(values) * each)
    assert 0.0 <= got.low <= got.value <= got.high <= 1.0
    assert got.low < got.high


def test_does_not_depend_on_the_order() -> None:
    values = np.random.default_rng(2).random(101)
    assert score(np.sort(values), 505).value == score(values, 505).value


@pytest.mark.parametrize(("values", "samples"), [([], 0), ([1.1], 1), ([-0.1], 1), ([math.nan], 1), ([0.5, 0.5], 1)])
def test_refuses_what_is_no_estimate(values: list[float], samples: int) -> None:
    with pytest.raises(ValueError, match=r"estimates|samples"):
        score(values, samples)


def test_a_score_is_a_plain_record() -> None:
    assert Score(0.5, 0.4, 0.6) == Score(value=0.5, low=0.4, high=0.6)

"""The estimator against exact arithmetic, and against the formula as the original harnesses write it."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.scoring import pass_at_k

TOLERANCE = 1e-12
GRID_N = (1, 2, 3, 5, 10, 100, 200, 1000, 9_999, 10_000)


def exact(n: int, c: int, k: int) -> Fraction:
    """The definition: one minus the share of draws of k that hold no sample that passed."""
    return 1 - Fraction(math.comb(n - c, k), math.comb(n, k))


@pytest.mark.parametrize("n", GRID_N)
def test_equals_exact_arithmetic_on_a_grid(n: int) -> None:
    cs = sorted({c for c in (0, 1, 2, 7, n // 3, n // 2, n - 2, n - 1, n) if 0 <= c <= n})
    for k in sorted({k for k in (1, 2, 5, 10, 25, 100, n // 2, n - 1, n) if 1 <= k <= n}):
        got = pass_at_k([n] * len(cs), cs, k)
        for c, value in zip(cs, got, strict=True):
            assert abs(value - float(exact(n, c, k))) <= TOLERANCE, (n, c, k)


@given(st.data())
def test_equals_exact_arithmetic_anywhere(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 400))
    c = data.draw(st.integers(0, n))
    k = data.draw(st.integers(1, n))
    assert abs(pass_at_k([n], [c], k)[0] - float(exact(n, c, k))) <= TOLERANCE


@pytest.mark.parametrize("k", [1, 5, 10, 25, 100])
def test_equals_the_formula_of_the_original_harnesses(k: int) -> None:
    """1 - prod(1 - k / arange(n - c + 1, n + 1)), and 1 where n - c < k."""
    for n in (100, 137, 200):
        counts = np.arange(n + 1)
        theirs = np.array([1.0 if n - c < k else 1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1)) for c in counts])
        assert np.abs(pass_at_k(np.full(n + 1, n), counts, k) - theirs).max() <= TOLERANCE


def test_is_unbiased() -> None:
    """The mean of the estimate over all ways to draw n samples is 1 - (1 - p) ** k."""
    n, p = 12, 0.3
    chances = np.array([math.comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)])
    for k in range(1, n + 1):
        mean = chances @ pass_at_k(np.full(n + 1, n), np.arange(n + 1), k)
        assert mean == pytest.approx(1 - (1 - p) ** k, abs=1e-12)

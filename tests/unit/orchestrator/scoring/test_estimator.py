from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.scoring import pass_at_k


def test_pass_at_1_is_the_share_that_passed() -> None:
    np.testing.assert_allclose(pass_at_k([10, 10, 3], [0, 5, 1], 1), [0, 0.5, 1 / 3], rtol=1e-15)


def test_too_few_samples_give_nan_even_where_all_passed() -> None:
    got = pass_at_k([0, 4, 5, 4], [0, 0, 5, 4], 5)
    assert np.isnan(got).tolist() == [True, True, False, True]
    assert got[2] == 1.0


def test_no_problems_give_no_estimates() -> None:
    assert pass_at_k([], [], 1).shape == (0,)


def test_takes_small_integer_types_without_overflow() -> None:
    assert pass_at_k(np.array([200], dtype=np.uint8), np.array([3], dtype=np.uint8), 10)[0] == pytest.approx(
        1 - np.prod([(197 - i) / (200 - i) for i in range(10)])
    )


@pytest.mark.parametrize(
    ("n", "c", "k"),
    [([3], [4], 1), ([3], [-1], 1), ([3], [1], 0), ([3, 3], [1], 1), ([3.0], [1.0], 1), ([[3]], [[1]], 1)],
)
def test_refuses_counts_that_mean_nothing(n: list[int], c: list[int], k: int) -> None:
    with pytest.raises(ValueError, match=r"must|there are"):
        pass_at_k(n, c, k)


@given(st.integers(1, 300), st.data())
def test_rises_with_passes_and_with_k_and_stays_a_chance(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, n))
    values = pass_at_k(np.full(n + 1, n), np.arange(n + 1), k)
    assert values[0] == 0.0
    assert values[n] == 1.0
    assert np.all(np.diff(values) >= -1e-15)
    if k < n:
        more = pass_at_k(np.full(n + 1, n), np.arange(n + 1), k + 1)
        assert np.all(more >= values - 1e-15)

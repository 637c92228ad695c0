"""Confidence intervals for a mean over problems."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Z_95 = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""


@dataclass(frozen=True, slots=True)
class Score:
    """A mean over problems with its 95 % confidence interval."""

    value: float
    low: float
    high: float


def score(values: ArrayLike, num_samples: int) -> Score:
    """Returns the mean of estimates in [0, 1], one for each problem, with a 95 % interval.

    The interval answers: what would the mean be over other problems of the same kind? It is Wilson's score
    interval (Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953) with an effective sample size in
    place of the number m of problems (Korn and Graubard 1998, "Confidence intervals for proportions with
    small expected number of positive counts estimated from survey data", Survey Methodology 24): with p the
    mean, n_eff = m / r, where r is the variance between the estimates over p * (1 - p), the most it can be.
    From few problems r is not well known, so it is taken with one problem more whose r is 1.

    - Estimates of 0 and 1 alone have r = 1, so that n_eff = m: exactly Wilson's interval.
    - Estimates between are worth more than one throw each, so n_eff > m; but never more than all samples
      together, `num_samples`, which is the limit where every problem is equally hard.
    - All 0 or all 1, or a single problem: the variance says nothing, so n_eff = m. All of 3 right gives
      [0.44, 1], never [1, 1], which resampling would say.

    Simulated with problems as hard as five beta distributions have it and 1, 5 or 20 samples each, it held
    the true mean in 93 to 98 of 100 runs for 24 problems, in 94 to 96 for 164.

    It is preferred to a bootstrap because it needs no random numbers and does not vanish at the ends.

    Args:
        values: The estimates; at least one.
        num_samples: How many samples they were made from, at least one for each problem.

    Raises:
        ValueError: There are no estimates, they leave [0, 1], or there are fewer samples than problems.
    """
    estimates = np.atleast_1d(np.asarray(values, dtype=np.float64))
    problems = estimates.size
    if problems == 0:
        raise ValueError("there are no estimates to take the mean of")
    if not np.all((estimates >= 0.0) & (estimates <= 1.0)):  # NaN is refused by this too
        raise ValueError("estimates must lie between 0 and 1")
    if num_samples < problems:
        raise ValueError(f"{num_samples} samples cannot be all of {problems} problems")
    mean = min(1.0, math.fsum(estimates) / problems)
    size = _effective_size(mean, float(estimates.var()), problems, num_samples)
    low, high = _wilson(mean, size)
    return Score(mean, low, high)


def _effective_size(mean: float, variance: float, problems: int, num_samples: int) -> float:
    """Returns how many independent throws the problems are worth."""
    binomial = mean * (1.0 - mean)
    if problems == 1 or binomial == 0.0:
        return float(problems)
    ratio = (problems * min(1.0, variance / binomial) + 1.0) / (problems + 1.0)
    return min(problems / ratio, float(num_samples))


def _wilson(mean: float, size: float) -> tuple[float, float]:
    """Returns Wilson's interval, which holds the mean and stays in [0, 1] whatever is rounded."""
    z2 = Z_95 * Z_95
    centre = (mean + z2 / (2.0 * size)) / (1.0 + z2 / size)
    half = Z_95 * math.sqrt(mean * (1.0 - mean) / size + z2 / (4.0 * size * size)) / (1.0 + z2 / size)
    return max(0.0, min(mean, centre - half)), min(1.0, max(mean, centre + half))

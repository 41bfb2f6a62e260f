"""The spread over training seeds, estimated from the seeds of a run."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from dualtail.scores.bootstrap import TAIL, Estimate


class Spread(NamedTuple):
    """Variance of a number over training seeds, and the degrees of freedom of its estimate."""

    variance: float
    freedom: int


def pooled(numbers: Iterable[Sequence[float]]) -> Spread:
    """Return the variance over seeds, pooled over predictors: two seeds of one alone tell little.

    Args:
        numbers: The same number of several predictors, one per seed; a single one tells nothing.
    """
    known = [np.asarray(found) for found in numbers if len(found) > 1]
    freedom = sum(found.size - 1 for found in known)
    squares = sum(float(((found - found.mean()) ** 2).sum()) for found in known)
    return Spread(squares / freedom if freedom else 0.0, freedom)


def widened(estimate: Estimate, spread: Spread, n_seeds: int) -> Estimate:
    """Return a mean over seeds with an interval that holds test sampling and training seeds.

    Both are independent, so that their half-widths add in squares; that of the seeds is Student's.
    """
    if not spread.freedom:
        return estimate
    from scipy.stats import t as student

    half = float(student.ppf(1 - TAIL, spread.freedom)) * (spread.variance / n_seeds) ** 0.5
    value, low, high = estimate
    return Estimate(
        value, value - np.hypot(value - low, half), value + np.hypot(high - value, half)
    )

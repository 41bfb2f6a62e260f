"""How exactly a prior is known, and from where on nothing may rest on it."""

import numpy as np
from numpy.typing import NDArray

from dualtail.bias.softmax import FloatArray

MOST_ABSENT = 0.05
"""Share of classes without an image on the prior's split from which on P-groups mean little."""
WIDEST = 10.0
"""Ratio of the ends of a class' interval, median over classes, from which on q is unknown."""


def interval_ratio(ci_low: FloatArray, ci_high: FloatArray) -> tuple[NDArray[np.bool_], float]:
    """Return which classes have an interval, (C,), and the median ratio of its ends over them.

    A class without an image has (0, 1).
    """
    known = (ci_low > 0) | (ci_high < 1)
    if not known.any():
        return known, float("inf")
    with np.errstate(divide="ignore"):
        return known, float(np.median(ci_high[known] / ci_low[known]))

"""Intervals of means over training seeds."""

import numpy as np
import pytest

from dualtail.paper.seed_spread import pooled, widened
from dualtail.scores.bootstrap import Estimate


def test_a_single_seed_leaves_the_interval_of_test_sampling():
    assert widened(Estimate(1.0, 0.0, 2.0), pooled([[1.0]]), 1) == (1.0, 0.0, 2.0)


@pytest.mark.parametrize("n_seeds", [2, 3])
def test_intervals_hold_what_images_and_seeds_change(n_seeds):
    """Six predictors, 400 times: a seed moves a number by 0.4, the images by 0.5."""
    rng = np.random.default_rng(n_seeds)
    covered = []
    for _ in range(400):
        numbers = 0.5 * rng.standard_normal((6, 1)) + 0.4 * rng.standard_normal((6, n_seeds))
        value = numbers[0].mean()
        found = widened(Estimate(value, value - 0.98, value + 0.98), pooled(numbers), n_seeds)
        covered.append(found.low <= 0 <= found.high)
    assert 0.92 <= np.mean(covered) <= 0.985

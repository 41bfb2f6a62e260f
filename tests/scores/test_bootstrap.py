"""The bootstrap against closed forms and its own promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtail.errors import UserError
from dualtail.scores.bootstrap import (
    BLOCK,
    centered_interval,
    indicator,
    interval,
    weight_blocks,
)


def all_weights(labels, replicates, seed=0):
    return np.concatenate(list(weight_blocks(labels, replicates, seed)), axis=1)


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.integers(1, 2 * BLOCK + 3))
def test_every_replicate_keeps_the_size_of_every_class(labels, replicates):
    labels = np.array(labels)
    weights = all_weights(labels, replicates)
    assert weights.shape == (labels.size, replicates)
    for c in np.unique(labels):
        assert (weights[labels == c].sum(axis=0) == (labels == c).sum()).all()


def test_weights_are_multinomial():
    labels = np.repeat([0, 1], [4, 25])
    weights = all_weights(labels, 20_000)
    for c, n in ((0, 4), (1, 25)):
        mine = weights[labels == c]
        np.testing.assert_allclose(mine.mean(axis=1), 1, atol=0.04)
        np.testing.assert_allclose(mine.var(axis=1), 1 - 1 / n, rtol=0.05)
        np.testing.assert_allclose(np.cov(mine[:2])[0, 1], -1 / n, atol=0.03)


def test_class_accuracy_of_a_replicate_is_binomial():
    labels = np.repeat(np.arange(3), 50)
    correct = np.concatenate([np.arange(50) < k for k in (10, 25, 45)]).astype(float)
    accuracy = (indicator(labels, 3, correct) @ all_weights(labels, 20_000)) / 50
    p = np.array([0.2, 0.5, 0.9])
    np.testing.assert_allclose(accuracy.mean(axis=1), p, atol=0.003)
    np.testing.assert_allclose(accuracy.var(axis=1), p * (1 - p) / 50, rtol=0.04)
    # Classes are resampled independently, so the mean over them has the mean variance / 3.
    variance = (p * (1 - p) / 50).sum() / 9
    np.testing.assert_allclose(accuracy.mean(axis=0).var(), variance, rtol=0.04)


def test_intervals_cover():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 40)
    truth = np.array([0.3, 0.5, 0.7, 0.9])
    weights = all_weights(labels, 400)
    samples = rng.random((400, labels.size)) < truth[labels]
    replicates = samples.astype(np.float32) @ weights / labels.size
    low, high = interval(replicates)
    covered = ((low <= truth.mean()) & (truth.mean() <= high)).mean()
    assert 0.91 <= covered <= 0.98  # 400 trials of 95 %: standard deviation 1.1 %


def test_a_replicate_does_not_depend_on_their_number():
    labels = np.repeat(np.arange(3), 5)
    assert not np.array_equal(all_weights(labels, 9, seed=1), all_weights(labels, 9, seed=2))
    assert np.array_equal(all_weights(labels, 200)[:, : BLOCK + 5], all_weights(labels, BLOCK + 5))


def test_weights_follow_images_of_shuffled_labels():
    """Rows of the weights are the images as given, not sorted by class."""
    labels = np.array([2, 0, 2, 1, 2])
    weights = all_weights(labels, 300)
    assert (weights[[1, 3]] == 1).all()  # the only images of their classes
    assert (weights[[0, 2, 4]].sum(axis=0) == 3).all()
    assert weights[[0, 2, 4]].var() > 0


def test_indicator_sums_values_by_row():
    rows, values = np.array([1, 0, 1]), np.array([2.0, 0.0, -1.0])
    weights = np.array([[1, 0], [5, 5], [2, 3]], dtype=np.float32)
    np.testing.assert_array_equal(indicator(rows, 3) @ weights, [[5, 5], [3, 3], [0, 0]])
    np.testing.assert_array_equal(indicator(rows, 3, values) @ weights, [[0, 0], [0, -3], [0, 0]])


def test_centered_interval_is_shifted_by_the_bias_and_holds_the_value():
    replicates = np.random.default_rng(0).normal(12, 1, 50_000)
    low, high = centered_interval(replicates, np.asarray(10.0))
    assert (low, high) == pytest.approx((10 - 1.96, 10 + 1.96), abs=0.05)
    low, high = centered_interval(np.array([3.0, 3.0]), np.asarray(1.0))
    assert low == high == 1.0
    low, _ = centered_interval(replicates, np.asarray(1.0))
    assert low == 0.0


@pytest.mark.parametrize(("labels", "replicates"), [(np.array([0]), 0), (np.array([], int), 5)])
def test_bad_input_is_refused(labels, replicates):
    with pytest.raises(UserError, match="bootstrap"):
        next(weight_blocks(labels, replicates, 0))

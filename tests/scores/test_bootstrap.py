"""The bootstrap against closed forms and its own promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from scipy.stats import t as student

from dualtail.errors import UserError
from dualtail.scores.bootstrap import (
    BLOCK,
    FEWEST_DIFFERENT,
    FEWEST_PER_CLASS,
    interval,
    mean_interval,
    moved_interval,
    student_stretch,
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
        total = (labels == c).sum()
        np.testing.assert_allclose(weights[labels == c].sum(axis=0), total, rtol=1e-5)


def test_the_variance_of_a_class_mean_is_that_of_a_sample_of_its_size():
    """Weights of variance 1 and covariance -1 / (n - 1) give s^2 / n; multinomial ones (n - 1) / n of it."""
    labels = np.repeat([0, 1, 2], [2, 4, 25])
    weights = all_weights(labels, 20_000)
    for c, n in enumerate((2, 4, 25)):
        mine = weights[labels == c]
        np.testing.assert_allclose(mine.mean(axis=1), 1, atol=0.04)
        np.testing.assert_allclose(mine.var(axis=1), 1, rtol=0.05)
        np.testing.assert_allclose(np.cov(mine[:2])[0, 1], -1 / (n - 1), atol=0.03)
        values = np.random.default_rng(c).random(n)
        drawn = (values @ mine / n).var()
        np.testing.assert_allclose(drawn, values.var(ddof=1) / n, rtol=0.05)


@pytest.mark.parametrize("each", [3, 10, 50])
def test_intervals_cover(each):
    rng = np.random.default_rng(0)
    n_classes, draws = 40, 600
    labels = np.repeat(np.arange(n_classes), each)
    truth = rng.uniform(0.3, 0.95, n_classes)
    weights = all_weights(labels, 300)
    samples = rng.random((draws, labels.size)) < truth[labels]
    low, high = interval(samples.astype(np.float32) @ weights / labels.size)
    covered = ((low <= truth.mean()) & (truth.mean() <= high)).mean()
    assert 0.92 <= covered <= 0.98  # 600 draws of 95 %: standard deviation 0.9 %


def test_an_interval_of_a_mean_needs_images_that_differ_and_classes_of_two():
    drawn, images = np.linspace(0, 1, 1001), np.array([3, 3, 0])
    # The k-th of 1001 at k / 1002; two degrees of freedom per class.
    half = 0.47595 * student.ppf(0.975, 4) / norm.ppf(0.975)
    found = mean_interval(drawn, FEWEST_DIFFERENT, images)
    assert found == pytest.approx((0.5 - half, 0.5 + half))
    assert np.isnan(mean_interval(drawn, FEWEST_DIFFERENT - 1, images)).all()
    # A class of one image has 1 / (1 + 9 / 1) = 10 % of the variance beside 9 / 50 classes of 50.
    single = np.array([1] + [50] * 451)
    assert np.isfinite(mean_interval(drawn, 9, single)).all()
    assert np.isnan(mean_interval(drawn, 9, single[:-2])).all()
    assert np.isnan(mean_interval(drawn, 9, np.zeros(2, int))).all()
    # Every class is right or wrong as a whole: no resample differs from another.
    assert np.isnan(mean_interval(np.full(50, 1 / 12), 9, images)).all()


@pytest.mark.parametrize("freedom", [1, 9, 199, 200, 201, 750, 3000, 10**6])
def test_intervals_are_stretched_as_students(freedom):
    expected = student.ppf(0.975, freedom) / norm.ppf(0.975)
    assert student_stretch(freedom) == pytest.approx(expected, abs=1e-11)


def test_the_interval_of_macro_f1_is_moved_by_twice_the_bias():
    drawn = np.random.default_rng(0).normal(0.5, 0.01, 50_000)
    enough = np.array([FEWEST_PER_CLASS, 50, 0])
    low, high = moved_interval(drawn, 0.52, enough)
    assert (low, high) == pytest.approx((0.54 - 0.0196, 0.54 + 0.0196), abs=5e-4)
    assert np.isnan(moved_interval(drawn, 0.52, enough - 1)).all()


def test_a_replicate_does_not_depend_on_their_number():
    labels = np.repeat(np.arange(3), 5)
    assert not np.array_equal(all_weights(labels, 9, seed=1), all_weights(labels, 9, seed=2))
    assert np.array_equal(all_weights(labels, 200)[:, : BLOCK + 5], all_weights(labels, BLOCK + 5))


def test_weights_follow_images_of_shuffled_labels():
    """Rows of the weights are the images as given, not sorted by class."""
    labels = np.array([2, 0, 2, 1, 2])
    weights = all_weights(labels, 300)
    assert (weights[[1, 3]] == 1).all()  # the only images of their classes
    np.testing.assert_allclose(weights[[0, 2, 4]].sum(axis=0), 3, rtol=1e-6)
    assert weights[[0, 2, 4]].var() > 0


@pytest.mark.parametrize(("labels", "replicates"), [(np.array([0]), 0), (np.array([], int), 5)])
def test_bad_input_is_refused(labels, replicates):
    with pytest.raises(UserError, match="bootstrap"):
        next(weight_blocks(labels, replicates, 0))

"""Bootstrap intervals against refits on materialized resamples and against known truth."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtail.bias.prior.bootstrap import bootstrap_prior, stratified_resamples
from dualtail.bias.prior.estimate import estimate_prior
from dualtail.errors import UserError


@given(st.lists(st.integers(0, 5), min_size=1, max_size=50), st.integers(0, 99))
def test_every_class_keeps_its_size(labels: list[int], seed: int) -> None:
    array = np.array(labels)
    weights = stratified_resamples(array, 7, np.random.default_rng(seed))
    assert weights.shape == (len(labels), 7)
    assert (weights >= 0).all()
    for label in set(labels):
        assert (weights[array == label].sum(axis=0) == (array == label).sum()).all()


def test_images_are_drawn_uniformly_with_replacement() -> None:
    labels = np.array([1, 0, 1, 0, 1])
    weights = stratified_resamples(labels, 20_000, np.random.default_rng(0))
    np.testing.assert_allclose(weights.mean(axis=1), 1, atol=0.03)
    # Binomial(3, 1/3) and Binomial(2, 1/2): variances 2/3 and 1/2.
    np.testing.assert_allclose(weights.var(axis=1), [2 / 3, 1 / 2, 2 / 3, 1 / 2, 2 / 3], atol=0.03)


@pytest.mark.parametrize("ridge", [0.0, 1.0])
def test_replicates_are_full_refits(make_gaussian: Callable, ridge: float) -> None:
    data = make_gaussian(n_classes=6, per_class=12, sigma=1.5)
    estimate = estimate_prior(data.logits, data.labels, ridge)
    found = bootstrap_prior(data.logits, data.labels, estimate, replicates=60, seed=4)
    weights = stratified_resamples(data.labels, 60, np.random.default_rng(4)).astype(int)
    refits = []
    for drawn in weights.T:
        rows = np.repeat(np.arange(data.labels.size), drawn)
        refits.append(estimate_prior(data.logits[rows], data.labels[rows], ridge))
    q = np.array([refit.q for refit in refits])
    low, high = np.percentile(q, [2.5, 97.5], axis=0)
    np.testing.assert_allclose(found.ci_low, low, rtol=0.02)
    np.testing.assert_allclose(found.ci_high, high, rtol=0.02)
    factors = np.percentile([refit.imbalance_factor for refit in refits], [2.5, 97.5])
    assert (found.imbalance_low, found.imbalance_high) == pytest.approx(tuple(factors), rel=0.04)


def test_intervals_cover_the_truth(make_gaussian: Callable) -> None:
    covered = []
    for seed in range(6):
        data = make_gaussian(n_classes=20, per_class=40, sigma=1.8, seed=seed)
        estimate = estimate_prior(data.logits, data.labels, 0)
        found = bootstrap_prior(data.logits, data.labels, estimate, replicates=200)
        q = np.exp(data.log_q)
        covered.append(((found.ci_low <= q) & (q <= found.ci_high)).mean())
        assert (found.ci_low < estimate.q).all()
        assert (estimate.q < found.ci_high).all()
    assert 0.88 < np.mean(covered) < 0.99


def test_nothing_is_known_of_a_class_without_labels(make_gaussian: Callable) -> None:
    data = make_gaussian(n_classes=6)
    seen = data.labels != 4
    estimate = estimate_prior(data.logits[seen], data.labels[seen])
    found = bootstrap_prior(data.logits[seen], data.labels[seen], estimate, replicates=20)
    assert (found.ci_low[4], found.ci_high[4]) == (0.0, 1.0)
    others = np.arange(6) != 4
    assert (found.ci_low[others] > 0).all()
    assert (found.ci_high[others] < 1).all()


def test_the_seed_decides(make_gaussian: Callable) -> None:
    data = make_gaussian()
    estimate = estimate_prior(data.logits, data.labels)
    first, same, other = (
        bootstrap_prior(data.logits, data.labels, estimate, replicates=20, seed=seed)
        for seed in (1, 1, 2)
    )
    assert first.ci_low.tobytes() == same.ci_low.tobytes() != other.ci_low.tobytes()


def test_bad_requests_are_refused(make_gaussian: Callable) -> None:
    data = make_gaussian()
    estimate = estimate_prior(data.logits, data.labels, 0)
    with pytest.raises(UserError, match="at least 2"):
        bootstrap_prior(data.logits, data.labels, estimate, replicates=1)
    with pytest.raises(UserError, match="12 classes for logits of 13"):
        bootstrap_prior(np.pad(data.logits, ((0, 0), (0, 1))), data.labels, estimate)
    with pytest.raises(UserError, match="'early-stopped'"):
        bootstrap_prior(data.logits, data.labels, replace(estimate, estimator="early-stopped"))

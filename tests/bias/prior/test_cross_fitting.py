"""Cross-fitted priors against estimates on the folds one by one."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtail.bias.folds import held_out_folds
from dualtail.bias.prior.bootstrap import bootstrap_prior
from dualtail.bias.prior.cross_fitting import cross_fit_prior
from dualtail.bias.prior.estimate import estimate_prior
from dualtail.bias.prior.estimators import PRIOR_ESTIMATORS
from dualtail.errors import UserError


def long_tailed(seed: int, n_classes: int = 8, largest: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Logits log p(x | c) + log q of Gaussian data with a long tail of labels; one image of the last."""
    rng = np.random.default_rng(seed)
    counts = np.maximum(2, largest * 0.6 ** np.arange(n_classes)).astype(int)
    counts[-1] = 1
    labels = np.repeat(np.arange(n_classes), counts)
    means = 2 * rng.standard_normal((n_classes, 5))
    x = means[labels] + rng.standard_normal((labels.size, 5))
    log_q = rng.standard_normal(n_classes)
    return -0.5 * ((x[:, None] - means) ** 2).sum(axis=2) + log_q, labels


def centered(log_q: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return log_q - log_q[rows].mean()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.5, 3.0]))
def test_it_is_the_mean_of_estimates_without_a_fold(seed: int, ridge: float) -> None:
    logits, labels = long_tailed(seed)
    n_classes = logits.shape[1]
    found = cross_fit_prior(logits, labels, ridge, seed=seed)
    held_out = held_out_folds(labels, seed=seed)
    seen = np.array([np.bincount(labels[~fold], minlength=n_classes) > 0 for fold in held_out.T])
    everywhere = seen.all(axis=0)
    parts = []
    for fold in held_out.T:
        part = estimate_prior(logits[~fold], labels[~fold], ridge)
        parts.append(centered(part.log_q, everywhere))
    expected = np.ma.array(parts, mask=~seen).mean(axis=0)
    difference = centered(found.log_q, everywhere) - expected
    assert np.abs(difference).max() < 1e-3
    assert found.converged
    assert found.q.sum() == pytest.approx(1)
    assert not any("not the optimum" in note for note in found.notes)


def test_a_class_of_one_image_is_estimated_by_the_folds_that_have_it() -> None:
    logits, labels = long_tailed(1)
    keep = ~((labels == 7) & (np.cumsum(labels == 7) > 1))
    found = cross_fit_prior(logits[keep], labels[keep], 1.0)
    assert np.isfinite(found.log_q).all()
    assert found.absent == ()
    held_out = held_out_folds(labels[keep], seed=0)
    only = int(np.flatnonzero(labels[keep] == 7)[0])
    others = [k for k in range(held_out.shape[1]) if not held_out[only, k]]
    assert len(others) == held_out.shape[1] - 1


def test_images_are_judged_by_the_estimate_that_did_not_see_them() -> None:
    """On labels of noise a prior from the same images looks better than none; this one does not."""
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((40, 10)), np.repeat(np.arange(10), 4)
    note = next(n for n in cross_fit_prior(logits, labels, 0.05).notes if "cross-fitted over" in n)
    with_prior, without = map(float, re.findall(r"\d+\.\d+", note))
    assert with_prior > without


def test_auto_chooses_the_ridge_of_the_exact_estimate() -> None:
    logits, labels = long_tailed(3)
    assert cross_fit_prior(logits, labels).ridge == estimate_prior(logits, labels).ridge
    again = cross_fit_prior(logits, labels)
    assert np.array_equal(again.log_q, cross_fit_prior(logits, labels).log_q)


def test_intervals_hold_the_estimate() -> None:
    logits, labels = long_tailed(4)
    estimate = PRIOR_ESTIMATORS["cross-fitted"](logits, labels, 1.0)
    intervals = bootstrap_prior(logits, labels, estimate, replicates=100)
    inside = (intervals.ci_low <= estimate.q) & (estimate.q <= intervals.ci_high)
    assert inside.mean() > 0.8


def test_one_image_cannot_be_split() -> None:
    with pytest.raises(UserError, match="at least two images"):
        cross_fit_prior(np.zeros((1, 2)), np.zeros(1, dtype=int), 1.0)
    with pytest.raises(UserError, match='ridge: "auto" needs at least two images'):
        cross_fit_prior(np.zeros((1, 2)), np.zeros(1, dtype=int))
    with pytest.raises(UserError, match="allowed are"):
        cross_fit_prior(np.zeros((4, 2)), np.arange(4) % 2, "best")  # type: ignore[arg-type]

"""The choice of the ridge against refitting every fold by itself."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from dualtail.bias.folds import FOLDS, stratified_folds
from dualtail.bias.prior.estimate import estimate_prior
from dualtail.bias.prior.regression import BiasRegression
from dualtail.bias.prior.ridge import RIDGES, choose_ridge


@given(st.lists(st.integers(0, 6), min_size=1, max_size=80), st.integers(2, 6), st.integers(0, 99))
def test_folds_are_stratified(labels: list[int], n_folds: int, seed: int) -> None:
    folds = stratified_folds(np.array(labels), n_folds, np.random.default_rng(seed))
    sizes = np.bincount(folds, minlength=n_folds)
    assert sizes.max() - sizes.min() <= 1
    for label, count in Counter(labels).items():
        spread = np.bincount(folds[np.array(labels) == label], minlength=n_folds)
        assert spread.max() - spread.min() <= 1
        assert spread.sum() == count


def test_the_curve_is_the_held_out_loss_of_separate_fits(make_gaussian: Callable) -> None:
    data = make_gaussian(n_classes=6, per_class=10)
    _, path, _ = choose_ridge(BiasRegression(data.logits, data.labels), seed=5)
    folds = stratified_folds(data.labels, FOLDS, np.random.default_rng(5))
    for point in path[2:8]:
        losses = []
        for fold in range(FOLDS):
            inside, outside = folds != fold, folds == fold
            fitted = estimate_prior(data.logits[inside], data.labels[inside], point.ridge)
            log_p = log_softmax(data.logits[outside] - fitted.log_q, axis=1)
            losses += (-log_p[np.arange(outside.sum()), data.labels[outside]]).tolist()
        assert point.loss == pytest.approx(np.mean(losses), abs=2e-5)


def test_the_best_point_of_a_falling_path_is_chosen(make_gaussian: Callable) -> None:
    data = make_gaussian(n_classes=20, per_class=6)
    ridge, path, _ = choose_ridge(BiasRegression(data.logits, data.labels), seed=0)
    assert [point.ridge for point in path] == list(RIDGES[: len(path)])
    assert ridge == min(path, key=lambda point: point.loss).ridge
    estimate = estimate_prior(data.logits, data.labels)
    assert (estimate.ridge, estimate.ridge_path) == (ridge, path)


def test_a_flat_truth_asks_for_a_stronger_ridge_than_a_steep_one(make_gaussian: Callable) -> None:
    chosen = []
    for imbalance in (1.0, 1e4):
        data = make_gaussian(n_classes=30, per_class=6, sigma=2.5, imbalance=imbalance)
        chosen.append(estimate_prior(data.logits, data.labels).ridge)
    assert chosen[0] > 10 * chosen[1]


def test_the_chosen_ridge_does_not_hurt_recovery(make_gaussian: Callable) -> None:
    plain, auto = [], []
    for seed in range(8):
        data = make_gaussian(n_classes=30, per_class=4, sigma=2.5, seed=seed)
        unpenalized = estimate_prior(data.logits, data.labels, 0)
        plain.append(np.std(unpenalized.log_q - data.log_q))
        auto.append(np.std(estimate_prior(data.logits, data.labels).log_q - data.log_q))
    assert np.mean(auto) < np.mean(plain)


def test_one_image_a_class_still_works(make_gaussian: Callable) -> None:
    data = make_gaussian(n_classes=12, per_class=1)
    estimate = estimate_prior(data.logits, data.labels)
    assert estimate.converged
    assert np.isfinite(estimate.log_q).all()

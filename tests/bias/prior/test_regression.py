"""The batched solver: gradients, products, and many problems against one at a time."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import log_softmax

from dualtail.bias.prior import regression as regression_module
from dualtail.bias.prior.regression import BiasRegression


@pytest.mark.parametrize("precision", ["double", "single"])
def test_a_batch_is_its_problems_one_by_one(
    make_gaussian: Callable, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    if precision == "single":
        monkeypatch.setattr(regression_module, "SMALL_PROBLEM", 0)
    data = make_gaussian(n_classes=7, per_class=9)
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 3, size=(63, 5)).astype(float)
    weights[data.labels == 3, 1] = 0  # a class missing from one problem only
    penalty = np.array([0.0, 0.01, 0.0, 1.0, 0.1])
    start = np.zeros((7, 5))
    regression = BiasRegression(data.logits, data.labels)
    together = regression.solve(weights, penalty, start, 1e-7)
    assert together.converged.all()
    for k in range(5):
        alone = BiasRegression(data.logits, data.labels).solve(
            weights[:, [k]], penalty[[k]], start[:, [k]], 1e-7
        )
        np.testing.assert_allclose(together.beta[:, [k]], alone.beta, atol=1e-4)
    assert together.beta[3, 1] == 0


def test_weights_are_repetitions(make_gaussian: Callable) -> None:
    data = make_gaussian(n_classes=5, per_class=8)
    times = np.random.default_rng(0).integers(1, 4, size=40)
    weighted = BiasRegression(data.logits, data.labels).solve(
        times[:, None].astype(float), np.zeros(1), np.zeros((5, 1)), 1e-9
    )
    repeated = BiasRegression(
        np.repeat(data.logits, times, axis=0), np.repeat(data.labels, times)
    ).solve(np.ones((times.sum(), 1)), np.zeros(1), np.zeros((5, 1)), 1e-9)
    np.testing.assert_allclose(weighted.beta, repeated.beta, atol=1e-6)


def test_problems_too_far_apart_for_one_centering_are_solved(
    make_gaussian: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regression_module, "SMALL_PROBLEM", 0)
    data = make_gaussian(n_classes=6, per_class=10)
    logits = data.logits + np.linspace(-60, 60, 6)
    # Without a penalty beta is some 60 away from that under a strong one.
    penalty = np.array([0.0, 10.0])
    regression = BiasRegression(logits, data.labels)
    together = regression.solve(np.ones((60, 2)), penalty, np.zeros((6, 2)), 1e-6)
    assert together.converged.all()
    assert np.abs(together.beta[:, 0]).max() > 50 > 2 > np.abs(together.beta[:, 1]).max()


def test_mean_probability(make_gaussian: Callable) -> None:
    data = make_gaussian(n_classes=5, per_class=4)
    bias = np.array([500.0, -300, 20, 0, 1])
    expected = np.exp(log_softmax(data.logits + bias, axis=1)).mean(axis=0)
    found = BiasRegression(data.logits, data.labels).mean_probability(bias)
    np.testing.assert_allclose(found, expected, rtol=1e-9)

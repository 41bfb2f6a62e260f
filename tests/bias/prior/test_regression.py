"""The batched solver: gradients, products, and many problems against one at a time."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import log_softmax

from dualtail.bias.prior import regression as regression_module
from dualtail.bias.prior.regression import BiasRegression


def objective(data, weights: np.ndarray, penalty: float, beta: np.ndarray) -> float:
    """Evaluate one column's objective in plain numpy (all classes present)."""
    weights = weights / weights.sum()
    frequency = np.bincount(data.labels, weights)
    log_p = log_softmax(data.logits + beta + np.log(frequency), axis=1)
    loss = -(weights * log_p[np.arange(data.labels.size), data.labels]).sum()
    return loss + 0.5 * penalty * ((beta - beta.mean()) ** 2).sum()


@pytest.fixture
def problem(make_gaussian: Callable):
    data = make_gaussian(n_classes=7, per_class=6)
    rng = np.random.default_rng(0)
    weights = rng.integers(1, 4, size=(42, 3)).astype(float)
    penalty = np.array([0.0, 0.02, 1.0])
    beta = rng.normal(size=(7, 3))
    regression = BiasRegression(data.logits, data.labels)
    columns = regression._columns(weights, penalty, beta)
    regression._evaluate(columns)
    return data, weights, penalty, regression, columns


def test_gradients_agree_with_finite_differences(problem) -> None:
    data, weights, penalty, _, columns = problem
    for k in range(3):
        for c in range(7):
            step = 1e-6 * (np.arange(7) == c)
            up = objective(data, weights[:, k], penalty[k], columns.beta[:, k] + step)
            down = objective(data, weights[:, k], penalty[k], columns.beta[:, k] - step)
            # Moving one class moves the mean too; the gradient is that of centered vectors.
            assert columns.gradient[c, k] == pytest.approx((up - down) / 2e-6, abs=1e-8)


def test_hessian_products_agree_with_differences_of_gradients(problem) -> None:
    *_, regression, columns = problem
    vectors = np.random.default_rng(1).normal(size=(7, 3))
    found = regression._hessian_product(columns, vectors)
    ends = []
    for sign in (1, -1):
        moved = columns.moved_to(columns.beta + sign * 1e-5 * vectors)
        regression._evaluate(moved)
        ends.append(moved.gradient)
    np.testing.assert_allclose(found, (ends[0] - ends[1]) / 2e-5, atol=1e-8)


def test_a_scaling_step_never_raises_the_objective(make_gaussian: Callable) -> None:
    for seed in range(20):
        data = make_gaussian(n_classes=7, per_class=6, seed=seed, scale=1 + seed)
        regression = BiasRegression(data.logits, data.labels)
        penalty = np.array([0.0, 1e-4, 0.02, 5.0])
        start = np.random.default_rng(seed).normal(scale=5, size=(7, 4))
        columns = regression._columns(np.ones((42, 4)), penalty, start)
        regression._evaluate(columns)
        for _ in range(5):
            step = regression._scaling_step(columns)
            moved = columns.moved_to(columns.centered(columns.beta + step))
            regression._evaluate(moved)
            assert (moved.objective <= columns.objective + 1e-12).all()
            columns = moved


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


def test_losses_are_cross_entropies(make_gaussian: Callable) -> None:
    data = make_gaussian(n_classes=5, per_class=4)
    beta = np.random.default_rng(0).normal(size=(5, 2))
    found = BiasRegression(data.logits, data.labels).losses(beta)
    for k in range(2):
        log_p = log_softmax(data.logits + beta[:, k], axis=1)
        expected = -log_p[np.arange(20), data.labels]
        np.testing.assert_allclose(found[:, k], expected, atol=1e-10)


def test_mean_probability(make_gaussian: Callable) -> None:
    data = make_gaussian(n_classes=5, per_class=4)
    bias = np.array([500.0, -300, 20, 0, 1])
    expected = np.exp(log_softmax(data.logits + bias, axis=1)).mean(axis=0)
    found = BiasRegression(data.logits, data.labels).mean_probability(bias)
    np.testing.assert_allclose(found, expected, rtol=1e-9)

"""The emulated reference against a step-by-step loop, and how far from the optimum it stops."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import softmax

from dualtail.bias.prior.early_stopping import calibration_temperature, estimate_prior_early_stopped
from dualtail.bias.prior.estimate import estimate_prior
from dualtail.bias.prior.regression import BiasRegression
from dualtail.errors import UserError


def test_agrees_with_descent_by_finite_differences(make_gaussian: Callable) -> None:
    data = make_gaussian(n_classes=4, per_class=5)
    rate, q, multiplier = 2e-4, np.full(4, 0.25), 0.0
    rows = np.arange(20)

    def cross_entropy(q: np.ndarray) -> float:
        return -np.log(softmax(data.logits - np.log(q), axis=1)[rows, data.labels]).mean()

    for _ in range(30):
        slope = np.empty(4)
        for c in range(4):
            step = 1e-6 * (np.arange(4) == c)
            slope[c] = (cross_entropy(q + step) - cross_entropy(q - step)) / 2e-6
        lagrangian_slope = slope - multiplier
        multiplier += rate * (1 - q.sum())
        q = q - rate * lagrangian_slope
    found = estimate_prior_early_stopped(
        data.logits, data.labels, steps=30, learning_rate=rate, calibrate=False
    )
    np.testing.assert_allclose(found.q, q / q.sum(), rtol=1e-7)
    assert f"q summed to {q.sum():.4g}" in found.notes[0]


def test_the_reference_stops_far_from_the_optimum(make_gaussian: Callable) -> None:
    data = make_gaussian(n_classes=60, per_class=50, sigma=2.5)
    exact = estimate_prior(data.logits, data.labels, 0)
    early = estimate_prior_early_stopped(data.logits, data.labels)
    assert exact.residual <= 1e-6 < 1e-3 < early.residual
    assert not early.converged
    assert early.objective > exact.objective
    assert np.std(exact.log_q - data.log_q) < 0.15
    assert np.std(early.log_q - data.log_q) > 0.6
    assert early.imbalance_factor < 10 < 50 < exact.imbalance_factor
    assert "summed to 0.9" in early.notes[0]


def test_enough_steps_reach_the_optimum(make_gaussian: Callable) -> None:
    data = make_gaussian(n_classes=5, per_class=10, imbalance=5, sigma=1.0)
    early = estimate_prior_early_stopped(
        data.logits, data.labels, steps=20_000, learning_rate=0.003, calibrate=False
    )
    exact = estimate_prior(data.logits, data.labels, 0)
    np.testing.assert_allclose(early.q, exact.q, rtol=1e-3)


@pytest.mark.parametrize("scale", [0.2, 1.0, 8.0])
def test_the_temperature_makes_confidence_equal_accuracy(
    make_gaussian: Callable, scale: float
) -> None:
    data = make_gaussian(n_classes=20, per_class=20, scale=scale)
    temperature = calibration_temperature(BiasRegression(data.logits, data.labels))
    confidence = softmax(data.logits / temperature, axis=1).max(axis=1).mean()
    accuracy = (data.logits.argmax(axis=1) == data.labels).mean()
    assert confidence == pytest.approx(accuracy, abs=2e-3)


def test_the_result_does_not_depend_on_the_scale_of_the_logits_if_calibrated(
    make_gaussian: Callable,
) -> None:
    """At a rate at which q moves far from uniform."""
    q = []
    for scale in (1.0, 4.0):
        data = make_gaussian(n_classes=20, per_class=20, scale=scale)
        options = {"steps": 300, "learning_rate": 1e-4}
        q.append(estimate_prior_early_stopped(data.logits, data.labels, **options).q)
        plain = estimate_prior_early_stopped(data.logits, data.labels, calibrate=False, **options).q
    np.testing.assert_allclose(q[0], q[1], rtol=0.02)
    assert np.std(np.log(q[0])) > 0.3
    assert np.abs(np.log(plain / q[1])).max() > 1


def test_too_large_a_rate_is_refused(make_gaussian: Callable) -> None:
    data = make_gaussian()
    with pytest.raises(UserError, match=r"learning_rate: 1 made q not positive at step"):
        estimate_prior_early_stopped(data.logits, data.labels, learning_rate=1.0)
    with pytest.raises(UserError, match="steps: 0"):
        estimate_prior_early_stopped(data.logits, data.labels, steps=0)

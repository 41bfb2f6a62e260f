"""The prior with a temperature against scipy, and on logits that are overconfident by a known factor."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax

from dualtail.bias.prior.calibration import estimate_prior_calibrated, profile
from dualtail.bias.prior.estimate import certify, estimate_prior
from dualtail.bias.prior.regression import BiasRegression
from dualtail.errors import UserError


@pytest.mark.parametrize("ridge", [0.0, 3.0])
@pytest.mark.parametrize("balanced", [True, False])
def test_it_is_the_joint_optimum(make_gaussian: Callable, ridge: float, balanced: bool) -> None:
    data = make_gaussian(n_classes=5, per_class=30, sigma=1.5)
    kept = np.ones(150, bool) if balanced else np.arange(150) % 3 > (data.labels % 2)
    logits, labels = 1.7 * data.logits[kept], data.labels[kept]
    n, rows = labels.size, np.arange(labels.size)
    offset = np.log(np.bincount(labels) / n)

    def objective(x: np.ndarray) -> float:
        a, b = x[0], x[1:] - x[1:].mean()
        losses = -log_softmax(a * logits + b + offset, axis=1)[rows, labels]
        return losses.mean() + ridge / (2 * n) * b @ b

    reference = minimize(objective, np.r_[1.0, np.zeros(5)], tol=1e-12)
    found = estimate_prior_calibrated(logits, labels, ridge)
    assert found.scale == pytest.approx(reference.x[0], rel=1e-4)
    log_q = log_softmax(-reference.x[1:] / reference.x[0])
    np.testing.assert_allclose(found.log_q, log_q, atol=1e-3)
    assert found.objective == pytest.approx(reference.fun, abs=1e-8)
    assert found.converged
    assert found.gradient < 1e-6


def test_the_certificate_sees_a_wrong_scale_and_a_wrong_q(make_gaussian: Callable) -> None:
    data = make_gaussian()
    found = estimate_prior_calibrated(data.logits, data.labels, 1.0)
    at = (data.logits, data.labels)
    assert certify(*at, found.log_q, 1.0, found.scale).gradient < 1e-6
    assert certify(*at, found.log_q, 1.0, 1.1 * found.scale).gradient > 1e-3
    assert certify(*at, 1.1 * found.log_q, 1.0, found.scale).gradient > 1e-4
    h = 1e-5  # the derivative in log scale, at a fixed bias
    beta = found.scale * found.log_q
    values = [
        certify(*at, beta / (1.3 * s), 0.0, 1.3 * s).objective for s in (np.exp(-h), np.exp(h))
    ]
    slope = (values[1] - values[0]) / (2 * h)
    assert certify(*at, beta / 1.3, 0.0, 1.3).gradient == pytest.approx(slope, rel=1e-3)


@pytest.mark.parametrize("factor", [0.6, 1.0, 2.0])
def test_what_images_say_too_loudly_does_not_enter_q(
    make_gaussian: Callable, factor: float
) -> None:
    data = make_gaussian(n_classes=20, per_class=200, sigma=2.0)
    logits = factor * (data.logits - data.log_q) + data.log_q
    found = estimate_prior_calibrated(logits, data.labels)
    assert found.scale == pytest.approx(1 / factor, rel=0.04)
    assert np.std(found.log_q - data.log_q) < 0.16
    assert f"temperature {1 / found.scale:.3g}" in found.notes[0]
    if factor == 2.0:
        at_their_word = estimate_prior(logits, data.labels)
        errors = [np.std(one.log_q - data.log_q) for one in (found, at_their_word)]
        assert errors[0] < errors[1]


def test_scaled_logits_have_the_scaled_log_q(make_gaussian: Callable) -> None:
    """Predictions of softmax(a f + b) are those of f - log q, whatever the unit of f."""
    data = make_gaussian()
    one, ten = (estimate_prior_calibrated(k * data.logits, data.labels, 1.0) for k in (1, 10))
    np.testing.assert_allclose(
        ten.log_q - ten.log_q.mean(), 10 * (one.log_q - one.log_q.mean()), rtol=1e-3
    )
    assert ten.scale == pytest.approx(one.scale / 10, rel=1e-4)


def test_large_problems_are_solved_in_single_precision(
    make_gaussian: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_gaussian(n_classes=30, per_class=20)
    double = estimate_prior_calibrated(data.logits, data.labels)
    monkeypatch.setattr("dualtail.bias.prior.regression.SMALL_PROBLEM", 0)
    single = estimate_prior_calibrated(data.logits.astype(np.float16), data.labels)
    assert single.converged
    np.testing.assert_allclose(single.log_q, double.log_q, atol=0.02)


def test_logits_that_never_or_only_err() -> None:
    labels = np.repeat(np.arange(4), 5)
    never = estimate_prior_calibrated(9.0 * np.eye(4)[labels] + np.arange(4), labels, 1.0)
    assert never.converged
    assert np.isfinite(never.log_q).all()
    only = estimate_prior_calibrated(-9.0 * np.eye(4)[labels] + np.arange(4), labels, 1.0)
    assert np.isfinite(only.log_q).all()
    assert any("reached its bound" in note for note in only.notes)


def test_the_profile_is_that_of_refits(make_gaussian: Callable) -> None:
    """Its curvature gives the spread of the scale in the bootstrap, its response the shift of b."""
    data = make_gaussian(n_classes=6, per_class=15)
    n, h, betas, slopes = data.labels.size, 1e-3, [], []
    for scale in (0.9 - h, 0.9, 0.9 + h):
        regression = BiasRegression(data.logits, data.labels, scale)
        start = np.zeros((6, 1))
        beta = regression.solve(np.ones((n, 1)), np.array([2.0 / n]), start, 1e-10).beta[:, 0]
        betas.append(beta)
        slopes.append(profile(regression, beta, 2.0 / n))
    assert slopes[1].curvature == pytest.approx(
        (slopes[2].slope - slopes[0].slope) / (2 * h), rel=0.01
    )
    np.testing.assert_allclose(slopes[1].response, (betas[2] - betas[0]) / (2 * h), atol=0.02)


def test_absent_classes_and_bad_requests(make_gaussian: Callable) -> None:
    data = make_gaussian(n_classes=6)
    seen = data.labels != 4
    found = estimate_prior_calibrated(data.logits[seen], data.labels[seen])
    assert found.absent == (4,)
    present = np.arange(6) != 4
    assert found.log_q[4] == pytest.approx(found.log_q[present].mean())
    with pytest.raises(UserError, match='ridge: "auto" needs at least two images'):
        estimate_prior_calibrated(np.zeros((1, 2)), np.zeros(1, dtype=int))
    with pytest.raises(UserError, match="12 names for logits of 6"):
        estimate_prior_calibrated(data.logits, data.labels, class_names=["a"] * 12)

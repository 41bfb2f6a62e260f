"""Fitted weights and temperatures against scipy, grids, and what must hold."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize as scipy_minimize
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp

from dualtail.bias.combination_fit import Combination, balanced_weights, fit_combination
from dualtail.bias.fitted_fusion import fusion_problem
from dualtail.bias.fusion import fuse
from dualtail.bias.fusion_rules import make_fusion_rule
from dualtail.bias.scaled_gla import ScaledHalves
from dualtail.errors import UserError

METHODS = ["logits", "probabilities"]


def members(
    signals: Sequence[float], n_classes: int = 6, per_class: int = 15, seed: int = 0
) -> tuple[list[np.ndarray], np.ndarray]:
    """Logits of models that know more or less, with noise of their own, and labels."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(n_classes), per_class)
    eye = np.eye(n_classes)[labels]
    return [s * eye + rng.normal(size=eye.shape) for s in signals], labels


def solve(logits, labels, method="probabilities", weights="fitted", calibrate=False) -> Combination:
    problem = fusion_problem(logits, labels, method, weights, calibrate)
    found = problem.solve(balanced_weights(labels), None)
    assert problem.gap <= 1e-9
    return found


def loss(logits, labels, method, scales, weights) -> float:
    """The mean over classes of the mean cross-entropy of a fusion, written out."""
    scaled = np.stack([s * z for s, z in zip(scales, logits, strict=True)])
    if method == "probabilities":
        with np.errstate(divide="ignore"):
            log_w = np.log(np.asarray(weights))[:, None, None]
        log_p = logsumexp(log_softmax(scaled, axis=2) + log_w, axis=0)
    else:
        log_p = log_softmax(np.tensordot(weights, scaled, 1), axis=1)
    each = -log_p[np.arange(len(labels)), labels]
    return float(np.mean([each[labels == c].mean() for c in np.unique(labels)]))


def test_weights_of_probabilities_beat_every_point_of_a_grid() -> None:
    logits, labels = members([3.0, 2.0, 1.5])
    found = solve(logits, labels)
    best = loss(logits, labels, "probabilities", found.scales, found.weights)
    ticks = np.linspace(0, 1, 41)
    grid = {
        (a, b): loss(logits, labels, "probabilities", np.ones(3), (a, b, max(0.0, 1 - a - b)))
        for a in ticks
        for b in ticks
        if a + b <= 1
    }
    nearest = min(grid, key=grid.__getitem__)
    assert best <= grid[nearest] <= best + 1e-3
    np.testing.assert_allclose(found.weights[:2], nearest, atol=0.03)


@pytest.mark.parametrize("unbalanced", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_weights_agree_with_a_general_solver(method: str, unbalanced: bool) -> None:
    logits, labels = members([2.0, 1.0, 1.5])
    if unbalanced:  # 15 images of some classes, 1 of others; none of the last
        keep = np.flatnonzero(((np.arange(90) % 15 < 1) | (labels < 3)) & (labels < 5))
        logits, labels = [z[keep] for z in logits], labels[keep]
    found = solve(logits, labels, method)

    def objective(x: np.ndarray) -> float:
        share = x**2 / (x**2).sum() if method == "probabilities" else x**2
        return loss(logits, labels, method, np.ones(3), share)

    reference = scipy_minimize(objective, np.ones(3), method="Nelder-Mead", tol=1e-12).x ** 2
    np.testing.assert_allclose(found.weights, reference / reference.sum(), atol=1e-4)
    if method == "logits":
        np.testing.assert_allclose(found.scales, reference.sum(), rtol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_temperatures_agree_with_a_search(method: str) -> None:
    logits, labels = members([2.0, 1.0])
    logits[1] = 40 * logits[1]
    found = solve(logits, labels, method, None, calibrate=True)
    for z, scale in zip(logits, found.scales, strict=True):
        reference = minimize_scalar(
            lambda t, z=z: loss([z], labels, "logits", [np.exp(t)], [1.0]),
            bracket=(-3, 0),
            tol=1e-10,
        )
        assert np.log(scale) == pytest.approx(reference.x, abs=1e-5)
    np.testing.assert_array_equal(found.weights, [0.5, 0.5])


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(METHODS),
    st.sampled_from([None, "fitted"]),
    st.floats(1e-3, 1e4),
    st.integers(0, 2),
    st.integers(0, 10**6),
)
def test_calibrated_members_may_come_on_any_scale(
    method: str, weights, factor: float, m: int, seed: int
) -> None:
    logits, labels = members([2.0, 1.0, 0.3], n_classes=4, per_class=6, seed=seed)

    def fused(factor: float) -> np.ndarray:
        given = [z * factor if k == m else z for k, z in enumerate(logits)]
        fit = fit_combination(fusion_problem(given, labels, method, weights, True), labels)
        rule = make_fusion_rule(method)
        whole = fuse(given, rule, fit.whole.weights, scales=fit.whole.scales)
        fold = fuse(given, rule, fit.folds[0].weights, scales=fit.folds[0].scales)
        return np.concatenate([whole, fold, fit.weight_intervals @ np.ones((2, 4))])

    np.testing.assert_allclose(fused(factor), fused(1.0), rtol=1e-4, atol=1e-4)


def test_fitted_logits_are_the_same_fusion_with_and_without_calibration() -> None:
    """The scale is a part of the fit; only the scale on which P(c) is told changes."""
    logits, labels = members([2.0, 1.0, 1.5])
    logits[0] = 7 * logits[0]
    plain, calibrated = (solve(logits, labels, "logits", "fitted", c) for c in (False, True))
    np.testing.assert_allclose(
        plain.scales * plain.weights, calibrated.scales * calibrated.weights, rtol=1e-6
    )
    assert plain.weights[0] < 0.3 < calibrated.weights[0]


@pytest.mark.parametrize("calibrate", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_a_member_of_noise_gets_next_to_nothing(method: str, calibrate: bool) -> None:
    logits, labels = members([3.0, 0.0], per_class=200)
    found = solve(logits, labels, method, "fitted", calibrate)
    fused = found.weights * found.scales if method == "logits" else found.weights
    assert fused[1] / fused.sum() < 0.03
    if calibrate and method == "probabilities":  # it says: any class; that mends overconfidence
        assert found.scales[1] * np.std(logits[1]) < 0.05


@pytest.mark.parametrize("method", METHODS)
def test_a_member_twice_shares_its_weight(method: str) -> None:
    (one, other), labels = members([2.0, 1.5])
    pair = solve([one, other], labels, method)
    three = solve([one, other, one.copy()], labels, method)
    np.testing.assert_allclose(three.weights[0], three.weights[2], rtol=1e-3)
    np.testing.assert_allclose(three.weights[0] + three.weights[2], pair.weights[0], rtol=1e-6)
    np.testing.assert_allclose(
        loss([one, other, one], labels, method, three.scales, three.weights),
        loss([one, other], labels, method, pair.scales, pair.weights),
        rtol=1e-9,
    )


@pytest.mark.parametrize("method", METHODS)
def test_members_that_never_err_or_say_nothing_have_finite_numbers(method: str) -> None:
    labels = np.repeat(np.arange(3), 4)
    perfect, silent = np.eye(3)[labels], np.zeros((12, 3))
    wrong = np.eye(3)[(labels + 1) % 3]
    for pair in ([perfect, silent], [silent, silent], [wrong, perfect], [wrong, wrong]):
        problem = fusion_problem(pair, labels, method, "fitted", True)
        fit = fit_combination(problem, labels)
        for one in (fit.whole, *fit.folds):
            assert np.isfinite(one.scales).all()
            assert one.weights.sum() == pytest.approx(1)
            assert (one.weights >= 0).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("weights", [None, "fitted"])
def test_scales_at_a_bound_are_told(method: str, weights) -> None:
    labels = np.repeat(np.arange(3), 8)
    noise = np.random.default_rng(0).normal(size=(24, 3))
    perfect, wrong, fair = np.eye(3)[labels], np.eye(3)[(labels + 1) % 3], np.eye(3)[labels] + noise
    for pair, expected in (
        ([fair, 2 * fair], (0, 0)),
        ([fair, perfect], (0, 1)),
        ([wrong, fair], (-1, 0)),
        ([1e3 * wrong, 1e-3 * wrong], (-1, -1)),
    ):
        found = solve(pair, labels, method, weights, calibrate=True)
        if method == "logits" and weights == "fitted" and expected == (0, 1):
            expected = (0, 1) if found.weights[0] == 0 else (1, 1)  # the sum is never wrong either
        assert found.at_bound == expected
    uncalibrated = solve([fair, perfect], labels, method, weights)
    summed = method == "logits" and weights == "fitted"
    assert uncalibrated.at_bound[1] == int(summed)
    one_error = perfect.copy()
    one_error[0] = [1.0, 1.1, 0.0]
    if not summed:  # the sum of these two is never wrong
        found = solve([fair, one_error], labels, method, weights, calibrate=True)
        assert found.at_bound == (0, 0)


def test_the_upper_bound_is_told_in_any_unit() -> None:
    """Never wrong, by so little that the loss at the largest scale is far from 0."""
    labels = np.repeat(np.arange(3), 8)
    barely = np.eye(3)[labels] + 0.999 * np.eye(3)[(labels + 1) % 3]
    for factor in np.linspace(0.3, 3.0, 40):
        assert solve([factor * barely], labels, "probabilities", calibrate=True).at_bound == (1,)


def test_each_fold_is_fitted_on_the_others() -> None:
    logits, labels = members([2.0, 1.0, 1.5])
    fit = fit_combination(fusion_problem(logits, labels, "probabilities", "fitted", True), labels)
    assert len(fit.folds) == 5
    for fold, found in enumerate(fit.folds):
        others = fit.fold_of != fold
        alone = solve([z[others] for z in logits], labels[others], calibrate=True)
        np.testing.assert_allclose(found.weights, alone.weights, atol=1e-6)
        np.testing.assert_allclose(found.scales, alone.scales, rtol=1e-6)


def test_a_split_with_an_image_of_some_classes_only() -> None:
    logits, labels = members([2.0, 1.0, 1.5], n_classes=8, per_class=1)
    logits, labels = [z[:5] for z in logits], labels[:5]
    fit = fit_combination(fusion_problem(logits, labels, "probabilities", "fitted", True), labels)
    assert np.isfinite(fit.whole.scales).all()
    with pytest.raises(UserError, match="at least two images"):
        one = fusion_problem([z[:1] for z in logits], labels[:1], "logits", "fitted")
        fit_combination(one, labels[:1])


@pytest.mark.parametrize(("method", "calibrate"), [("probabilities", True), ("logits", False)])
def test_intervals_are_those_of_refits(method: str, calibrate: bool) -> None:
    """Newton steps from the optimum against fits on other samples of the same kind."""
    refits = []
    for seed in range(60):
        logits, labels = members([2.0, 1.2], per_class=40, seed=seed)
        refits.append(solve(logits, labels, method, "fitted", calibrate).weights)
    low, high = np.percentile(refits, (2.5, 97.5), axis=0)
    widths = []
    for seed in range(8):
        logits, labels = members([2.0, 1.2], per_class=40, seed=seed)
        fit = fit_combination(fusion_problem(logits, labels, method, "fitted", calibrate), labels)
        widths.append(fit.weight_intervals[:, 1] - fit.weight_intervals[:, 0])
        assert (fit.weight_intervals[:, 0] <= fit.whole.weights + 1e-9).all()
    np.testing.assert_allclose(np.mean(widths, axis=0), high - low, rtol=0.35)


def test_a_rule_of_ones_own_has_no_fitted_weights() -> None:
    logits, labels = members([2.0, 1.0])
    with pytest.raises(
        UserError, match=r"fusion rule a\.py:Surest: only weights of logits and prob"
    ):
        fusion_problem(logits, labels, "a.py:Surest", "fitted")
    found = fusion_problem(logits, labels, "a.py:Surest", [1, 3], True).solve(
        balanced_weights(labels), None
    )
    np.testing.assert_array_equal(found.weights, [0.25, 0.75])


# GLA with two scales


def test_the_two_scales_of_gla_agree_with_a_general_solver() -> None:
    (zero_shot, tuned), labels = members([1.0, 2.0])
    q, counts = np.arange(1, 7) / 21, np.array([50, 40, 30, 20, 10, 5])
    halves = [20 * zero_shot - np.log(q), tuned - np.log(counts / counts.sum())]
    problem = ScaledHalves(20 * zero_shot, tuned, q, counts, labels)
    found = problem.solve(balanced_weights(labels), None)
    assert problem.gap <= 1e-9
    reference = scipy_minimize(
        lambda x: loss(halves, labels, "logits", np.ones(2), x**2),
        [0.2, 1.0],
        method="Nelder-Mead",
        tol=1e-12,
    )
    np.testing.assert_allclose(found.scales, reference.x**2, rtol=1e-3)

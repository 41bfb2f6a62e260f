"""The exact prior against an independent Newton method, scipy, known truth and invariances."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax

from dualtail.bias.prior import regression as regression_module
from dualtail.bias.prior.estimate import estimate_prior
from dualtail.bias.prior.estimators import PRIOR_ESTIMATORS
from dualtail.errors import UserError


def normalized(log_q: np.ndarray) -> np.ndarray:
    """Return log q with sum(q) = 1."""
    return log_softmax(log_q)


def newton_reference(logits: np.ndarray, labels: np.ndarray, ridge: float) -> np.ndarray:
    """Minimize Eq. 3 on a balanced split with explicit Hessians in float64; return log q."""
    n, c = logits.shape
    frequency = np.bincount(labels, minlength=c) / n
    center = np.eye(c) - 1 / c
    b = np.zeros(c)

    def objective(b: np.ndarray) -> float:
        log_p = log_softmax(logits + b, axis=1)
        return -log_p[np.arange(n), labels].mean() + ridge / (2 * n) * b @ center @ b

    for _ in range(200):
        p = np.exp(log_softmax(logits + b, axis=1))
        gradient = p.mean(axis=0) - frequency + ridge / n * center @ b
        if np.abs(gradient).max() < 1e-13:
            break
        hessian = np.diag(p.mean(axis=0)) - p.T @ p / n + ridge / n * center
        step = -np.linalg.pinv(hessian, rcond=1e-14) @ gradient
        length = 1.0
        while objective(b + length * step) > objective(b) + 1e-14 and length > 1e-6:
            length /= 2
        b = b + length * step
    return normalized(-b)


@pytest.mark.parametrize("ridge", [0.0, 0.3, 30.0])
@pytest.mark.parametrize(("sigma", "scale"), [(1.0, 1.0), (2.5, 1.0), (2.0, 4.0)])
def test_agrees_with_newton(make_gaussian: Callable, ridge: float, sigma: float, scale: float):
    data = make_gaussian(sigma=sigma, scale=scale)
    estimate = estimate_prior(data.logits, data.labels, ridge)
    expected = newton_reference(data.logits, data.labels, ridge)
    np.testing.assert_allclose(estimate.log_q, expected, atol=2e-3 if ridge == 0 else 1e-3)
    assert estimate.converged
    assert estimate.gradient <= 1e-6
    assert estimate.q.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(np.log(estimate.q), estimate.log_q)


@pytest.mark.parametrize("ridge", [0.0, 1.0, "auto"])
def test_the_certificate_is_what_a_direct_computation_gives(make_gaussian: Callable, ridge) -> None:
    data = make_gaussian(n_classes=20)
    estimate = estimate_prior(data.logits, data.labels, ridge)
    p = np.exp(log_softmax(data.logits - estimate.log_q, axis=1))
    difference = p.mean(axis=0) - 1 / 20
    centered = -estimate.log_q + estimate.log_q.mean()
    n = data.labels.size
    loss = -np.log(p[np.arange(n), data.labels]).mean()
    assert estimate.residual == pytest.approx(np.abs(difference).max(), rel=1e-6, abs=1e-15)
    gradient = np.abs(difference + estimate.ridge / n * centered).max()
    assert estimate.gradient == pytest.approx(gradient, rel=1e-3, abs=1e-15)
    penalty = estimate.ridge / (2 * n) * centered @ centered
    assert estimate.objective == pytest.approx(loss + penalty, rel=1e-12)
    assert estimate.gradient <= 1e-6


def test_recovers_the_true_prior(make_gaussian: Callable) -> None:
    data = make_gaussian(n_classes=60, per_class=50, sigma=2.5)
    for ridge in (0.0, "auto"):
        estimate = estimate_prior(data.logits, data.labels, ridge)
        assert np.std(estimate.log_q - data.log_q) < 0.15
        assert 45 < estimate.imbalance_factor < 75


SMALL = st.integers(0, 10_000)


@settings(max_examples=25, deadline=None)
@given(SMALL, st.floats(0, 1e4))
def test_a_constant_added_to_an_image_changes_nothing(
    make_gaussian: Callable, seed: int, size: float
) -> None:
    data = make_gaussian(n_classes=6, per_class=8, seed=seed)
    shift = size * np.random.default_rng(seed).normal(size=(48, 1))
    expected = estimate_prior(data.logits, data.labels, 1.0)
    found = estimate_prior(data.logits + shift, data.labels, 1.0)
    np.testing.assert_allclose(found.log_q, expected.log_q, atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(SMALL, st.floats(0, 50))
def test_shifting_classes_shifts_log_q(make_gaussian: Callable, seed: int, size: float) -> None:
    data = make_gaussian(n_classes=6, per_class=8, seed=seed)
    shift = size * np.random.default_rng(seed).normal(size=6)
    expected = estimate_prior(data.logits, data.labels, 0).log_q + shift
    found = estimate_prior(data.logits + shift, data.labels, 0)
    np.testing.assert_allclose(found.log_q, normalized(expected), atol=5e-3)


@settings(max_examples=25, deadline=None)
@given(SMALL, st.sampled_from([0.0, 1.0]))
def test_permuting_classes_permutes_q(make_gaussian: Callable, seed: int, ridge: float) -> None:
    data = make_gaussian(n_classes=6, per_class=8, seed=seed)
    order = np.random.default_rng(seed).permutation(6)
    expected = estimate_prior(data.logits, data.labels, ridge)
    permuted = estimate_prior(data.logits[:, order], np.argsort(order)[data.labels], ridge)
    np.testing.assert_allclose(permuted.log_q, expected.log_q[order], atol=1e-3)


@settings(max_examples=40, deadline=None)
@given(
    SMALL,
    st.integers(2, 9),
    st.integers(1, 40),
    st.sampled_from([0.01, 1.0, 10.0, 100.0]),
    st.sampled_from([0.0, 1e-4, 1.0, 1e4]),
)
def test_any_logits_and_labels_give_a_certified_finite_prior(
    seed: int, n_classes: int, n_images: int, scale: float, ridge: float
) -> None:
    rng = np.random.default_rng(seed)
    logits = scale * rng.normal(size=(n_images, n_classes))
    labels = rng.integers(0, n_classes, n_images)
    estimate = estimate_prior(logits, labels, ridge)
    assert estimate.converged, estimate.notes
    assert np.isfinite(estimate.log_q).all()
    assert (estimate.q > 0).all()
    assert estimate.q.sum() == pytest.approx(1)
    assert set(estimate.absent) == set(range(n_classes)) - set(labels.tolist())


def test_unbalanced_labels_do_not_enter_q(make_gaussian: Callable) -> None:
    data = make_gaussian(n_classes=10, per_class=400, sigma=1.5)
    rng = np.random.default_rng(1)
    keep = rng.random(data.labels.size) < np.linspace(0.05, 1, 10)[data.labels]
    estimate = estimate_prior(data.logits[keep], data.labels[keep], 0)
    assert np.std(estimate.log_q - data.log_q) < 0.15
    assert any("not balanced" in note for note in estimate.notes)
    # Read as Eq. 3 stands, the frequencies would be part of the prior.
    frequency = np.bincount(data.labels[keep]) / keep.sum()
    assert np.std(estimate.log_q - np.log(frequency) - data.log_q) > 0.5


@pytest.mark.parametrize("ridge", [0.0, 0.5, "auto"])
def test_a_class_without_labels_is_neutral_and_named(make_gaussian: Callable, ridge) -> None:
    data = make_gaussian(n_classes=6)
    seen = data.labels != 4
    names = ["ant", "bee", "cat", "dog", "eel", "fox"]
    estimate = estimate_prior(data.logits[seen], data.labels[seen], ridge, class_names=names)
    others = np.arange(6) != 4
    assert estimate.absent == (4,)
    assert estimate.log_q[4] == pytest.approx(estimate.log_q[others].mean())
    assert any("4 (eel)" in note for note in estimate.notes)
    # The others are what they would be if the class did not exist.
    without = estimate_prior(
        data.logits[seen][:, others], np.where(data.labels > 4, 4, data.labels)[seen], ridge
    )
    ratio = estimate.log_q[others] - without.log_q
    np.testing.assert_allclose(ratio, ratio.mean(), atol=1e-3)
    assert estimate.imbalance_factor == pytest.approx(without.imbalance_factor, rel=1e-3)


def test_an_absent_class_with_huge_logits_does_no_harm(make_gaussian: Callable) -> None:
    data = make_gaussian(n_classes=6)
    seen = data.labels != 4
    logits = data.logits[seen].astype(np.float32)
    logits[:, 4] += 5000
    estimate = estimate_prior(logits, data.labels[seen], 0)
    expected = estimate_prior(data.logits[seen], data.labels[seen], 0)
    np.testing.assert_allclose(estimate.log_q, expected.log_q, atol=1e-3)


@pytest.mark.parametrize("depth", [20.0, 300.0, 3000.0])
@pytest.mark.parametrize("ridge", [0.0, "auto"])
def test_a_class_never_predicted_stays_finite_and_is_named(
    make_gaussian: Callable, depth: float, ridge
) -> None:
    data = make_gaussian(n_classes=6, imbalance=3)
    logits = data.logits.copy()
    logits[:, 2] -= depth
    estimate = estimate_prior(logits, data.labels, ridge)
    assert 2 in estimate.never_predicted
    assert estimate.converged
    assert np.isfinite(estimate.log_q).all()
    assert (estimate.q > 0).all()
    assert any("never predicted" in note and "2" in note for note in estimate.notes)
    assert estimate.log_q.argmin() == 2
    if ridge == 0 and depth < 600:
        plain = estimate_prior(data.logits, data.labels, 0).log_q
        expected = plain - depth * (np.arange(6) == 2)
        np.testing.assert_allclose(estimate.log_q, normalized(expected), atol=5e-3)


def test_a_runaway_optimum_is_finite_and_flagged(make_gaussian: Callable) -> None:
    # Overconfident: the logits of the truth, five times too large.
    data = make_gaussian(n_classes=30, per_class=10, sigma=2.5, scale=5.0)
    plain = estimate_prior(data.logits, data.labels, 0)
    assert plain.converged
    assert np.isfinite(plain.log_q).all()
    assert plain.imbalance_factor > 1e5
    assert any("nearly separate" in note for note in plain.notes)


def test_the_ridge_tames_nearly_separable_logits() -> None:
    # A uniform truth, easy logits: only the few hard images say anything, and they say too much.
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(30), 4)
    logits = 6.0 * rng.normal(size=(120, 30))
    logits[np.arange(120), labels] += 22.0
    plain, auto = (estimate_prior(logits, labels, ridge) for ridge in (0.0, "auto"))
    assert plain.converged
    assert auto.converged
    assert auto.imbalance_factor < plain.imbalance_factor / 5


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_memory_mapped_logits_of_any_precision(
    make_gaussian: Callable, tmp_path: Path, dtype: type
) -> None:
    data = make_gaussian(n_classes=9, per_class=20)
    np.save(tmp_path / "logits.npy", data.logits.astype(dtype))
    mapped = np.load(tmp_path / "logits.npy", mmap_mode="r", allow_pickle=False)
    estimate = estimate_prior(mapped, data.labels.astype(np.int32), 0)
    expected = newton_reference(data.logits.astype(dtype).astype(float), data.labels, 0)
    np.testing.assert_allclose(estimate.log_q, expected, atol=1e-3)


@pytest.mark.parametrize("ridge", [0.0, "auto"])
def test_single_precision_blocks_reach_the_same_optimum(
    make_gaussian: Callable, monkeypatch: pytest.MonkeyPatch, ridge
) -> None:
    data = make_gaussian(n_classes=40, per_class=12, sigma=2.5)
    expected = estimate_prior(data.logits, data.labels, ridge)
    monkeypatch.setattr(regression_module, "SMALL_PROBLEM", 0)
    monkeypatch.setattr("dualtail.bias.softmax.BLOCK_BYTES", 4000)
    estimate = estimate_prior(data.logits, data.labels, ridge)
    assert estimate.ridge == expected.ridge
    assert estimate.converged
    np.testing.assert_allclose(estimate.log_q, expected.log_q, atol=2e-3)


def test_single_precision_survives_priors_far_beyond_its_range(
    make_gaussian: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_gaussian(n_classes=8)
    shift = np.linspace(-200, 200, 8)
    expected = estimate_prior(data.logits, data.labels, 0).log_q + shift
    monkeypatch.setattr(regression_module, "SMALL_PROBLEM", 0)
    estimate = estimate_prior(data.logits + shift, data.labels, 0)
    assert estimate.converged
    np.testing.assert_allclose(estimate.log_q, normalized(expected), atol=5e-3)


@pytest.mark.parametrize("estimator", PRIOR_ESTIMATORS.values())
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"logits": np.zeros((0, 3)), "labels": np.zeros(0, dtype=int)}, "no images"),
        ({"logits": np.zeros(3)}, "shape"),
        ({"logits": np.zeros((3, 1))}, "at least two"),
        ({"logits": np.zeros((3, 2), dtype=int)}, "type int64"),
        ({"logits": [["a", "b"]] * 3}, "type"),
        ({"logits": [[0, 0], [np.nan, 0], [0, 0]]}, "row 1, class 0 is nan"),
        ({"logits": [[0, 0], [0, 0], [0, np.inf]]}, "row 2, class 1 is inf"),
        ({"labels": [0, 1]}, "labels: shape"),
        ({"labels": [0, 1, 2]}, "row 2 is 2; allowed are 0 to 1"),
        ({"labels": [0, 1, -1]}, "row 2 is -1"),
        ({"labels": [0.0, 1.0, 1.0]}, "integer"),
        ({"class_names": ["only one"]}, "1 names for logits of 2 classes"),
    ],
)
def test_bad_inputs_are_refused_by_every_estimator(estimator, change: dict, message: str) -> None:
    inputs = {"logits": [[0.0, 1.0], [1.0, 0.0], [0.5, 0.2]], "labels": [0, 1, 1]} | change
    with pytest.raises(UserError, match=message):
        estimator(**inputs)


@pytest.mark.parametrize("ridge", [-1.0, np.nan, np.inf, "best"])
def test_a_bad_ridge_is_refused(make_gaussian: Callable, ridge) -> None:
    data = make_gaussian()
    with pytest.raises(UserError, match=r'ridge: .*; allowed are "auto" and numbers from 0'):
        estimate_prior(data.logits, data.labels, ridge)


def test_failing_to_converge_is_said(make_gaussian: Callable) -> None:
    data = make_gaussian()
    estimate = estimate_prior(data.logits, data.labels, 0, tolerance=1e-30)
    assert not estimate.converged
    assert any("not the optimum" in note for note in estimate.notes)

"""Metrics against loops, closed forms and scipy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from dualtail.bias.softmax import predict
from dualtail.errors import UserError
from dualtail.scores import metrics


@st.composite
def predictions(draw):
    n_classes = draw(st.integers(1, 6))
    n = draw(st.integers(1, 40))
    label = st.integers(0, n_classes - 1)
    labels = draw(st.lists(label, min_size=n, max_size=n))
    predicted = draw(st.lists(label, min_size=n, max_size=n))
    return np.array(labels), np.array(predicted), n_classes


def loop_accuracy(labels, predicted, n_classes):
    result = []
    for c in range(n_classes):
        hits = [p == y for y, p in zip(labels, predicted, strict=True) if y == c]
        result.append(sum(hits) / len(hits) if hits else float("nan"))
    return np.array(result)


@given(predictions())
def test_per_class_accuracy_equals_a_loop(case):
    labels, predicted, n_classes = case
    accuracy, images = metrics.per_class_accuracy(labels, predicted, n_classes)
    np.testing.assert_allclose(accuracy, loop_accuracy(*case), rtol=1e-12)
    assert images.tolist() == [int((labels == c).sum()) for c in range(n_classes)]


@given(predictions(), st.integers(0, 2**6 - 1))
def test_group_accuracy_is_the_unweighted_mean_of_scored_classes(case, bits):
    n_classes = case[2]
    members = np.array([bool(bits >> c & 1) for c in range(n_classes)])
    accuracy = loop_accuracy(*case)
    chosen = [a for a, inside in zip(accuracy, members, strict=True) if inside and a == a]
    value = metrics.group_accuracy(accuracy, members)
    if chosen:
        assert value == pytest.approx(sum(chosen) / len(chosen))
    else:
        assert np.isnan(value)


@given(predictions())
def test_macro_f1_equals_precision_and_recall_by_hand(case):
    labels, predicted, n_classes = case
    scores = []
    for c in range(n_classes):
        if not (labels == c).any():
            continue
        hits = ((labels == c) & (predicted == c)).sum()
        if hits == 0:
            scores.append(0.0)
            continue
        precision, recall = hits / (predicted == c).sum(), hits / (labels == c).sum()
        scores.append(2 * precision * recall / (precision + recall))
    assert metrics.macro_f1(labels, predicted, n_classes) == pytest.approx(np.mean(scores))


def test_means_of_a_hand_made_case():
    accuracy = np.array([0.5, np.nan, 0.25, 1.0])
    assert metrics.worst_class_accuracy(accuracy) == 0.25
    assert metrics.harmonic_mean(accuracy) == pytest.approx(3 / (2 + 4 + 1))
    assert metrics.geometric_mean(accuracy) == pytest.approx(0.5)


def test_zeros_follow_lift():
    accuracy = np.array([0.0, 1.0])
    # LIFT: 100 / mean(1 / (max(acc, 0.001 %) / 100)), and a plain product.
    assert metrics.harmonic_mean(accuracy) == pytest.approx(2 / (1e5 + 1))
    assert metrics.geometric_mean(accuracy) == 0.0


def test_average_gap_is_equation_5():
    f, g = np.array([0.9, 0.5, np.nan]), np.array([0.6, 0.7, np.nan])
    assert metrics.average_gap(f, g) == pytest.approx((0.3 + 0.2) / 2)
    assert metrics.average_gap(f, g) == metrics.average_gap(g, f)
    with pytest.raises(UserError, match="same classes"):
        metrics.average_gap(f, g[:2])


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_predict_and_confidence_are_argmax_and_softmax(dtype, monkeypatch):
    monkeypatch.setattr("dualtail.bias.softmax.BLOCK_BYTES", 40)  # blocks of one or two rows
    logits = (4 * np.random.default_rng(0).normal(size=(17, 5))).astype(dtype)
    exact = logits.astype(np.float64)
    assert predict(logits).tolist() == exact.argmax(axis=1).tolist()
    for temperature in (1.0, 2.5):
        z = exact / temperature
        expected = np.exp(z - logsumexp(z, axis=1, keepdims=True)).max(axis=1)
        np.testing.assert_allclose(metrics.confidence(logits, temperature), expected, rtol=1e-5)


@given(st.lists(st.tuples(st.floats(1e-6, 1.0), st.booleans()), min_size=1, max_size=60))
def test_ece_equals_a_loop_over_bins(rows):
    confidences = np.array([c for c, _ in rows])
    correct = np.array([hit for _, hit in rows])
    total = 0.0
    for k in range(15):
        inside = [i for i, c in enumerate(confidences) if int(np.ceil(c * 15)) - 1 == k]
        if inside:
            gap = np.mean(correct[inside]) - np.mean(confidences[inside])
            total += len(inside) / len(rows) * abs(gap)
    assert metrics.expected_calibration_error(confidences, correct) == pytest.approx(total)


def test_ece_bins_are_closed_on_the_right():
    assert metrics.confidence_bin(np.array([1e-9, 1 / 15, 1 / 15 + 1e-9, 1.0])).tolist() == [
        0,
        0,
        1,
        14,
    ]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.floats(0.05, 20))
def test_temperature_equals_scipy_and_scales_with_the_logits(seed, scale):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, 200)
    logits = rng.normal(size=(200, 5))
    logits[np.arange(200), labels] += 1.0
    logits = (scale * logits).astype(np.float32)

    def loss(log_t):
        z = logits.astype(float) / np.exp(log_t)
        return (logsumexp(z, axis=1) - z[np.arange(200), labels]).mean()

    reference = minimize_scalar(loss, bounds=(-7, 7), method="bounded", options={"xatol": 1e-9})
    assert np.log(metrics.fit_temperature(logits, labels)) == pytest.approx(reference.x, abs=1e-4)


def test_temperature_stays_in_range_without_an_inner_optimum():
    perfect = 10 * np.eye(3, dtype=np.float32)
    low, high = metrics.TEMPERATURE_RANGE
    assert metrics.fit_temperature(perfect, np.arange(3)) == low
    assert metrics.fit_temperature(perfect, np.array([1, 2, 0])) == high
    assert metrics.fit_temperature(np.zeros((3, 3), np.float32), np.arange(3)) == high


@pytest.mark.parametrize(
    ("labels", "predicted", "message"),
    [
        (np.array([0, 3]), np.array([0, 1]), "labels: 3 in row 1 is outside 0..2"),
        (np.array([0, 1]), np.array([-1, 1]), "predictions: -1 in row 0"),
        (np.array([0.0, 1.0]), np.array([0, 1]), "labels must be integers"),
        (np.array([0, 1]), np.array([0, 1, 2]), "must be"),
        (np.array([], dtype=int), np.array([], dtype=int), "N > 0"),
    ],
)
def test_bad_predictions_are_refused(labels, predicted, message):
    for metric in (metrics.per_class_accuracy, metrics.macro_f1):
        with pytest.raises(UserError, match=message):
            metric(labels, predicted, 3)


def test_bad_logits_are_refused():
    with pytest.raises(UserError, match="temperature 0"):
        metrics.confidence(np.zeros((2, 3), np.float32), 0.0)
    with pytest.raises(UserError, match="finite"):
        predict(np.array([[0.0, np.nan]], np.float32))
    with pytest.raises(UserError, match="labels"):
        metrics.fit_temperature(np.zeros((2, 3), np.float32), np.array([0]))
    with pytest.raises(UserError, match="allowed are 0 to 2"):
        metrics.fit_temperature(np.zeros((2, 3), np.float32), np.array([0, 3]))


def test_true_class_confidence_is_the_softmax_of_the_label():
    logits = np.random.default_rng(0).normal(0, 5, (50, 7)).astype(np.float32)
    labels = np.arange(50) % 7
    expected = np.exp(logits[np.arange(50), labels] - logsumexp(logits.astype(float), axis=1))
    found = metrics.true_class_confidence(logits, labels)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    huge = np.array([[6e4, -6e4], [-6e4, 6e4]], np.float16)
    assert metrics.true_class_confidence(huge, np.array([0, 0])).tolist() == [1.0, 0.0]
    with pytest.raises(UserError, match="row 1 is 7"):
        metrics.true_class_confidence(logits[:2], np.array([0, 7]))

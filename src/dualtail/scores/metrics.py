"""Metrics of predictions on one split.

Everything here is a fraction in [0, 1]; the score table (`dualtail.scores.table`) turns fractions
into percent. A class without a test image has no accuracy (NaN) and is left out of every mean.
"""

import numpy as np

from dualtail.bias.softmax import (
    check_labels,
    check_logits,
    log_softmax,
    read_block,
    row_blocks,
)
from dualtail.errors import UserError

ECE_BINS = 15
HARMONIC_FLOOR = 1e-5
"""LIFT raises class accuracies to 0.001 % before the harmonic mean; other means have no floor."""

TEMPERATURE_RANGE = (1e-3, 1e3)
TOLERANCE = 1e-8
"""Relative step of 1 / temperature at which its search stops."""

NORMAL_HALF_WIDTH = 1.96
"""Standard errors on either side of a validation accuracy: its interval is the normal one."""


def confidence(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Return the largest softmax probability of logits / temperature, (N,) float64.

    Raises:
        UserError: a temperature that is not positive, or logits as in `predict`.
    """
    if not temperature > 0:
        raise UserError(f"temperature {temperature}: must be positive")
    logits = check_logits(logits)
    result = np.empty(logits.shape[0])
    for rows in row_blocks(*logits.shape, itemsize=4):
        block = read_block(logits, rows, dtype=np.float32)
        block -= block.max(axis=1, keepdims=True)
        block /= np.float32(temperature)
        result[rows] = 1.0 / np.exp(block).sum(axis=1, dtype=np.float64)
    return result


def true_class_confidence(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the softmax probability of the true class of every image, (N,) float64.

    Raises:
        UserError: logits as in `predict`, or labels that do not fit them.
    """
    logits = check_logits(logits)
    labels = check_labels(labels, *logits.shape)
    result = np.empty(len(labels))
    for rows in row_blocks(*logits.shape):
        log_p = log_softmax(read_block(logits, rows))
        result[rows] = np.exp(log_p[np.arange(len(log_p)), labels[rows]])
    return result


def check_predictions(labels: np.ndarray, predictions: np.ndarray, n_classes: int) -> None:
    """Refuse labels or predictions of the wrong shape, type or range.

    Raises:
        UserError: says which, and the first offending row.
    """
    if labels.ndim != 1 or labels.size == 0:
        raise UserError(f"labels must be (N,) with N > 0, not {labels.shape}")
    if predictions.shape != labels.shape:
        raise UserError(f"predictions {predictions.shape} must be {labels.shape}, as the labels")
    for name, values in (("labels", labels), ("predictions", predictions)):
        if not np.issubdtype(values.dtype, np.integer):
            raise UserError(f"{name} must be integers, not {values.dtype}")
        wrong = np.flatnonzero((values < 0) | (values >= n_classes))
        if wrong.size:
            raise UserError(
                f"{name}: {values[wrong[0]]} in row {wrong[0]} is outside 0..{n_classes - 1}"
            )


def per_class_accuracy(
    labels: np.ndarray, predictions: np.ndarray, n_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the accuracy of every class (C,), NaN where it has no image, and its images (C,)."""
    check_predictions(labels, predictions, n_classes)
    images = np.bincount(labels, minlength=n_classes)
    correct = np.bincount(labels[labels == predictions], minlength=n_classes)
    accuracy = np.full(n_classes, np.nan)
    np.divide(correct, images, out=accuracy, where=images > 0)
    return accuracy, images


def group_accuracy(accuracy: np.ndarray, members: np.ndarray) -> float:
    """Return the unweighted mean accuracy of the classes in a group; NaN if none has an image.

    Args:
        accuracy: (C,) per-class accuracy, NaN for a class without images.
        members: (C,) bool, True for the classes of the group.
    """
    values = accuracy[members & ~np.isnan(accuracy)]
    return float(values.mean()) if values.size else float("nan")


def mean_accuracy_error(accuracy: np.ndarray, images: np.ndarray) -> float:
    """Return the standard error of the mean accuracy over classes, of images drawn within classes.

    Args:
        accuracy: (C,) accuracies; NaN is left out.
        images: (C,) images per class; NaN is returned where a scored class has a single one.
    """
    scored = images > 0
    p, n = accuracy[scored], images[scored]
    if (n < 2).any():
        return float("nan")
    return float(np.sqrt(np.sum(p * (1 - p) / (n - 1))) / n.size)


def macro_f1(labels: np.ndarray, predictions: np.ndarray, n_classes: int) -> float:
    """Return the unweighted mean F1 of the classes that have images.

    F1 = 2 TP / (images + predicted), 0 for a class that is never predicted.
    """
    check_predictions(labels, predictions, n_classes)
    images = np.bincount(labels, minlength=n_classes)
    predicted = np.bincount(predictions, minlength=n_classes)
    correct = np.bincount(labels[labels == predictions], minlength=n_classes)
    present = images > 0
    return float((2 * correct[present] / (images[present] + predicted[present])).mean())


def worst_class_accuracy(accuracy: np.ndarray) -> float:
    """Return the smallest per-class accuracy."""
    return float(np.nanmin(accuracy))


def harmonic_mean(accuracy: np.ndarray) -> float:
    """Return the harmonic mean of per-class accuracies, each raised to `HARMONIC_FLOOR` (LIFT)."""
    values = accuracy[~np.isnan(accuracy)]
    return float(1.0 / (1.0 / np.maximum(values, HARMONIC_FLOOR)).mean())


def geometric_mean(accuracy: np.ndarray) -> float:
    """Return the geometric mean of per-class accuracies; 0 if any class is at 0, as in LIFT."""
    values = accuracy[~np.isnan(accuracy)]
    return float(np.exp(np.log(values).mean())) if (values > 0).all() else 0.0


def average_gap(accuracy_f: np.ndarray, accuracy_g: np.ndarray) -> float:
    """Return the average accuracy gap of two models, mean over classes of |acc_f - acc_g| (Eq. 5).

    Raises:
        UserError: the two describe different numbers of classes.
    """
    if accuracy_f.shape != accuracy_g.shape:
        raise UserError(
            f"the gap needs the same classes, not {accuracy_f.shape} and {accuracy_g.shape}"
        )
    return float(np.nanmean(np.abs(accuracy_f - accuracy_g)))


def confidence_bin(confidences: np.ndarray) -> np.ndarray:
    """Return the bin of each confidence, (N,) int64: bin k of K holds (k / K, (k + 1) / K]."""
    return np.clip(np.ceil(confidences * ECE_BINS).astype(np.int64) - 1, 0, ECE_BINS - 1)


def expected_calibration_error(confidences: np.ndarray, correct: np.ndarray) -> float:
    """Return the ECE over equal-width bins, sum_k |sum of (confidence - correct) in bin k| / N.

    Args:
        confidences: (N,) probability of the predicted class, in (0, 1].
        correct: (N,) whether the prediction is right.
    """
    excess = np.bincount(
        confidence_bin(confidences), confidences - correct.astype(float), minlength=ECE_BINS
    )
    return float(np.abs(excess).sum() / confidences.size)


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature T that minimizes the cross-entropy of softmax(logits / T).

    In b = 1 / T the cross-entropy is convex, so its derivative, mean(E_p[z] - z_y), has one sign
    change; it is found by Newton's method, kept inside a shrinking bracket by bisection. T stays in
    `TEMPERATURE_RANGE`: the optimum is 0 for a split without an error, infinite for useless logits.

    Args:
        logits: (N, C), of the validation split.
        labels: (N,) int.

    Raises:
        UserError: shapes that disagree, or labels out of range.
    """
    logits = check_logits(logits)
    labels = check_labels(labels, *logits.shape)
    low, high = 1.0 / TEMPERATURE_RANGE[1], 1.0 / TEMPERATURE_RANGE[0]
    if _slope_and_curvature(logits, labels, low)[0] >= 0:
        return TEMPERATURE_RANGE[1]
    if _slope_and_curvature(logits, labels, high)[0] <= 0:
        return TEMPERATURE_RANGE[0]
    inverse = 1.0
    for _ in range(200):
        slope, curvature = _slope_and_curvature(logits, labels, inverse)
        low, high = (inverse, high) if slope < 0 else (low, inverse)
        proposal = inverse - slope / curvature if curvature > 0 else np.inf
        if not low < proposal < high:
            proposal = np.sqrt(low * high)  # the range spans decades
        if abs(proposal - inverse) <= TOLERANCE * inverse:
            return float(1.0 / proposal)
        inverse = float(proposal)
    return 1.0 / inverse


def _slope_and_curvature(
    logits: np.ndarray, labels: np.ndarray, inverse: float
) -> tuple[float, float]:
    """Return the first and second derivative of the mean cross-entropy in 1 / T."""
    slope = curvature = 0.0
    for rows in row_blocks(*logits.shape):
        margins = read_block(logits, rows)
        margins -= margins.max(axis=1, keepdims=True)
        weights = np.exp(inverse * margins)
        weights /= weights.sum(axis=1, keepdims=True)
        mean = (weights * margins).sum(axis=1)
        slope += float((mean - margins[np.arange(len(margins)), labels[rows]]).sum())
        curvature += float((weights * margins**2).sum() - (mean**2).sum())
    return slope / len(labels), curvature / len(labels)

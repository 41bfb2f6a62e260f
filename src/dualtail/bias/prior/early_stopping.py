"""The reference's estimate of q: an early-stopped Lagrangian descent, for comparison.

What the public few-shot release of GLA does (Zhu et al., NeurIPS 2023): the logits are divided by a
temperature at which mean confidence equals accuracy; q itself (not its logarithm) starts uniform
and takes 1000 full-batch steps of plain gradient descent on CE(f / T - log q, y), while
multipliers of the constraints sum(q) = 1 and q >= 0 ascend with the same step size, 1e-5 * (N / C)
/ 50. The cross-entropy does not depend on the scale of q, so only the multiplier holds the sum,
and with steps this small neither the sum nor q arrives.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from dualtail.bias.prior.estimate import PriorEstimate, assemble, check_class_names
from dualtail.bias.prior.regression import BiasRegression
from dualtail.bias.softmax import FloatArray, read_block, row_blocks
from dualtail.errors import UserError

STEPS = 1000
RATE_PER_SHOT = 1e-5 / 50
"""Learning rate for one validation image per class; the reference scales it with their number."""

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.01, 100.0


def calibration_temperature(regression: BiasRegression) -> float:
    """Return the temperature at which the mean confidence of f / T equals the accuracy.

    Confidence falls as the temperature rises, so that bisection finds it; beyond 0.01 .. 100 the
    bound is returned. Stops when both agree within 0.1 points, as the reference does.
    """
    accuracy, low, high = 0.0, np.log(LOWEST_TEMPERATURE), np.log(HIGHEST_TEMPERATURE)
    shape = regression.logits.shape
    for rows in row_blocks(*shape):
        predicted = regression.logits[rows].argmax(axis=1)
        accuracy += float((predicted == regression.labels[rows]).sum()) / regression.n_images
    middle = 0.0
    for _ in range(40):
        confidence = 0.0
        for rows in row_blocks(*shape):
            block = read_block(regression.logits, rows) / np.exp(middle)
            block -= block.max(axis=1, keepdims=True)
            confidence += float((1.0 / np.exp(block).sum(axis=1)).sum()) / regression.n_images
        if abs(confidence - accuracy) <= 1e-3:
            break
        low, high = (middle, high) if confidence > accuracy else (low, middle)
        middle = (low + high) / 2
    return float(np.exp(middle))


def estimate_prior_early_stopped(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    class_names: Sequence[str] | None = None,
    steps: int = STEPS,
    learning_rate: float | None = None,
    calibrate: bool = True,
    tolerance: float = 1e-6,
) -> PriorEstimate:
    """Estimate q as the GLA reference does, to show how far from the optimum it stops.

    The result's `residual` and `objective` are those of the normalized q on the undivided logits,
    so that they compare with `estimate_prior`'s; the sum of q before normalization is in `notes`.

    Args:
        logits: (N, C) zero-shot logits of a balanced split.
        labels: (N,) class indices.
        steps: descent steps.
        learning_rate: of q and of the multiplier; None for the reference's 2e-7 N / C.
        calibrate: divide the logits by the temperature that makes confidence equal accuracy.

    Raises:
        UserError: bad inputs; a q that leaves the positive numbers (too large a learning rate).
    """
    if steps < 1:
        raise UserError(f"steps: {steps}; at least 1 is needed")
    regression = BiasRegression(np.asanyarray(logits), np.asanyarray(labels))
    n_images, n_classes = regression.n_images, regression.n_classes
    check_class_names(class_names, n_classes)
    rate = RATE_PER_SHOT * n_images / n_classes if learning_rate is None else learning_rate
    temperature = 1.0
    fitted = regression
    if calibrate:
        temperature = calibration_temperature(regression)
        divided = np.empty(regression.logits.shape, dtype=np.float32)
        for rows in row_blocks(n_images, n_classes):
            divided[rows] = read_block(regression.logits, rows) / temperature
        fitted = BiasRegression(divided, regression.labels)
        del divided
    q = _descend(fitted, steps, rate)
    total = float(q.sum())
    note = (
        f"{steps} descent steps of size {rate:.3g} at temperature {temperature:.3g}: "
        f"q summed to {total:.4g} before it was normalized"
    )
    return assemble(
        regression,
        np.log(q / total),
        estimator="early-stopped",
        ridge=0.0,
        ridge_path=(),
        iterations=steps,
        tolerance=tolerance,
        class_names=class_names,
        notes=[note],
    )


def _descend(regression: BiasRegression, steps: int, rate: float) -> FloatArray:
    """Return q (C,) after simultaneous descent in q and ascent in the multiplier of its sum.

    The multipliers of q >= 0 stay at zero while q is positive, so they are left out.
    """
    from tqdm import tqdm

    frequency = np.bincount(regression.labels, minlength=regression.n_classes) / regression.n_images
    q = np.full(regression.n_classes, 1.0 / regression.n_classes)
    multiplier = 0.0
    for step in tqdm(range(steps), desc="early-stopped q", disable=None, leave=False):
        slope = (frequency - regression.mean_probability(-np.log(q))) / q - multiplier
        multiplier += rate * (1.0 - q.sum())
        q = q - rate * slope
        if not (q > 0).all():
            raise UserError(
                f"learning_rate: {rate:g} made q not positive at step {step + 1}; use a smaller one"
            )
    return q

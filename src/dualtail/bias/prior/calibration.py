"""The pre-training prior q with a temperature: what Eq. 3 says of logits that are overconfident.

Eq. 3 takes a difference of logits for a log odds. Models that are overconfident state more than they
know, and so does a q estimated from them: too steep by the same factor. Here the scale a of the logits
is estimated with the bias b, by the cross-entropy of softmax(a f + b + log label frequency), convex in
both; log q = -b / a, as predictions of softmax(a f + b) are those of f - log q.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dualtail.bias.prior.estimate import (
    PriorEstimate,
    assemble,
    check_class_names,
    gradient_target,
    normalized_log_prior,
)
from dualtail.bias.prior.regression import BiasRegression
from dualtail.bias.prior.ridge import strength_of
from dualtail.bias.softmax import FloatArray, read_block, row_blocks

SCALES = (1e-3, 1e3)
"""The scale stays inside: logits that never err ask for an infinite one."""

FIRST_RIDGE = 1.0
"""Strength at which the scale is fitted before "auto" chooses one; the scale hardly depends on it."""

MOST_STEPS = 50


class Profile(NamedTuple):
    """The objective along the scale a, b optimal for each."""

    slope: float
    """its derivative in a"""
    curvature: float
    """its second derivative"""
    response: FloatArray
    """(C,) db / da"""


def estimate_prior_calibrated(
    logits: ArrayLike,
    labels: ArrayLike,
    ridge: float | Literal["auto"] = "auto",
    *,
    class_names: Sequence[str] | None = None,
    seed: int = 0,
    tolerance: float = 1e-6,
) -> PriorEstimate:
    """Estimate q and the scale of the logits together, to a certificate.

    Args:
        logits, labels, class_names, seed: as in `estimate_prior`.
        ridge: strength of the ridge on b = -scale * log q; "auto" chooses it by held-out likelihood.
        tolerance: bound on the max-norm of the gradient in b and log scale.

    Raises:
        UserError: what `estimate_prior` raises.
    """
    array, label = np.asanyarray(logits), np.asanyarray(labels)
    regression = BiasRegression(array, label)
    check_class_names(class_names, regression.n_classes)
    strength, path, iterations = FIRST_RIDGE, (), 0
    if isinstance(ridge, str):
        regression, beta, iterations = _fit(regression, strength, np.zeros(array.shape[1]), 1e-3)
        strength, path, start = strength_of(ridge, regression, seed=seed)
    else:
        strength, path, start = strength_of(ridge, regression, seed=seed)
    regression, beta, more = _fit(regression, strength, start, tolerance)
    present = np.bincount(regression.labels, minlength=regression.n_classes) > 0
    scale = regression.scale
    notes = [
        f"logits times {scale:.3g} (temperature {1 / scale:.3g}), fitted with q: as they are, they are "
        f"{'overconfident' if scale < 1 else 'not confident enough'}"
    ]
    if not 1.01 * SCALES[0] < scale < 0.99 * SCALES[1]:
        notes.append(
            "the fitted scale of the logits reached its bound: they are never or always "
            "wrong, and say little about q"
        )
    return assemble(
        regression,
        normalized_log_prior(beta / scale, present),
        estimator="calibrated",
        scale=scale,
        ridge=strength,
        ridge_path=path,
        iterations=iterations + more,
        tolerance=tolerance,
        class_names=class_names,
        notes=notes,
    )


def _fit(
    regression: BiasRegression, ridge: float, start: FloatArray, tolerance: float
) -> tuple[BiasRegression, FloatArray, int]:
    """Return the regression at the best scale, its optimum (C,), and the solver's steps.

    Newton's method in the scale, kept inside a shrinking bracket: the profile is convex.
    """
    low, high = SCALES
    penalty, iterations, beta = ridge / regression.n_images, 0, start
    for _ in range(MOST_STEPS):
        scale = regression.scale
        solution = regression.solve(
            weights=np.ones((regression.n_images, 1)),
            penalty=np.array([penalty]),
            start=beta[:, None],
            target=gradient_target(regression.n_classes, tolerance),
        )
        beta, iterations = solution.beta[:, 0], iterations + solution.iterations
        found = profile(regression, beta, penalty)
        if abs(scale * found.slope) <= 0.5 * tolerance:
            break
        low, high = (scale, high) if found.slope < 0 else (low, scale)
        proposal = scale - found.slope / found.curvature if found.curvature > 0 else np.inf
        if not low < proposal < high:
            proposal = float(np.sqrt(low * high))
        if abs(proposal - scale) <= 1e-9 * scale:
            break
        beta = beta + (proposal - scale) * found.response
        regression = BiasRegression(regression.logits, regression.labels, proposal)
    return regression, beta, iterations


def profile(regression: BiasRegression, beta: FloatArray, penalty: float) -> Profile:
    """Return slope and curvature at the optimum `beta` (C,) of the regression's scale, and db / da."""
    logits, labels = regression.logits, regression.labels
    frequency = np.bincount(labels, minlength=regression.n_classes) / regression.n_images
    with np.errstate(divide="ignore"):
        bias = np.where(frequency > 0, beta + np.log(frequency), -np.inf)
    slope = curvature = 0.0
    mixed = np.zeros(regression.n_classes)
    for rows in row_blocks(*logits.shape):
        f = read_block(logits, rows)
        p = regression.scale * f + bias
        p -= p.max(axis=1, keepdims=True)
        np.exp(p, out=p)
        p /= p.sum(axis=1, keepdims=True)
        mean = (p * f).sum(axis=1)
        slope += float((mean - f[np.arange(len(f)), labels[rows]]).sum())
        f -= mean[:, None]
        p *= f
        mixed += p.sum(axis=0)
        curvature += float((p * f).sum())
    n = regression.n_images
    response = regression.response(beta, penalty, mixed / n)
    return Profile(slope / n, curvature / n + float(mixed @ response) / n, response)

"""The pre-training prior q of a foundation model from its zero-shot logits (Eq. 3)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from dualtail.bias.prior.regression import BiasRegression
from dualtail.bias.prior.ridge import RidgePoint, strength_of
from dualtail.bias.softmax import (
    FloatArray,
    IntArray,
    check_labels,
    check_logits,
    log_softmax,
    read_block,
    row_blocks,
)
from dualtail.errors import UserError

SUSPICIOUS_FACTOR = 1e5
"""Imbalance factors above this are reported as a runaway optimum (CLIP's q on ImageNet: 85)."""

LOWEST_LOG_Q = -690.0
"""Keeps q = exp(log q) a normal, positive float64."""


@dataclass(frozen=True, eq=False)
class PriorEstimate:
    """An estimated pre-training prior and how far it can be trusted.

    q, log_q: (C,) positive, sum(q) = 1.
    estimator: name in `PRIOR_ESTIMATORS`.
    scale: what the logits are multiplied by, 1 / temperature; 1 where they are taken at their word.
    ridge: strength used; an inverse variance of scale * log q (see `estimate_prior`).
    ridge_path: held-out negative log-likelihood of every ridge tried, in the order tried.
    residual: max_c |mean predicted probability - label frequency| under q, in float64.
    gradient: max-norm of the gradient of the penalized objective (`residual` if ridge = 0), in the
        logarithm of a fitted scale, too.
    objective: mean cross-entropy in nats of the corrected zero-shot model, penalty included.
    iterations: steps of the optimizer.
    converged: whether `gradient` is within the tolerance.
    imbalance_factor: max q / min q over classes with a label.
    absent: classes without a label in the split.
    never_predicted: classes that are never the argmax of the zero-shot logits.
    notes: one sentence on each thing the reader should know.
    """

    q: FloatArray
    log_q: FloatArray
    estimator: str
    scale: float
    ridge: float
    ridge_path: tuple[RidgePoint, ...]
    residual: float
    gradient: float
    objective: float
    iterations: int
    converged: bool
    imbalance_factor: float
    absent: tuple[int, ...]
    never_predicted: tuple[int, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Certificate:
    """Optimality of a prior, recomputed in float64 (fields as in `PriorEstimate`)."""

    residual: float
    gradient: float
    objective: float


def certify(
    logits: ArrayLike,
    labels: ArrayLike,
    log_q: ArrayLike,
    ridge: float = 0.0,
    scale: float | None = None,
) -> Certificate:
    """Measure how far `log_q` (C,) is from the optimum, independently of any solver.

    Of Eq. 3, where the model is softmax(f - log q + log label frequency), or, with a fitted `scale` a,
    of softmax(a (f - log q) + log label frequency) in a and a log q.
    """
    array = check_logits(logits)
    n_images, n_classes = array.shape
    label = check_labels(labels, n_images, n_classes)
    frequency = np.bincount(label, minlength=n_classes) / n_images
    present = frequency > 0
    factor = 1.0 if scale is None else scale
    beta = -factor * np.asarray(log_q, dtype=float)
    with np.errstate(divide="ignore"):
        bias = np.where(present, beta + np.log(frequency), -np.inf)
    mean_p, loss, slope = np.zeros(n_classes), 0.0, 0.0
    for rows in row_blocks(n_images, n_classes):
        scaled = factor * read_block(array, rows)
        log_p = log_softmax(scaled + bias)
        p, at = np.exp(log_p), (np.arange(len(log_p)), label[rows])
        loss -= log_p[at].sum()
        mean_p += p.sum(axis=0)
        if scale is not None:
            slope += float((p * scaled).sum() - scaled[at].sum()) / n_images
    centered = np.where(present, beta - beta[present].mean(), 0.0)
    difference = mean_p / n_images - frequency
    gradient = float(np.abs(difference + ridge / n_images * centered).max())
    return Certificate(
        residual=float(np.abs(difference).max()),
        gradient=gradient if scale is None else max(gradient, abs(slope)),
        objective=float(loss / n_images + 0.5 * ridge / n_images * (centered @ centered)),
    )


def gradient_target(n_classes: int, tolerance: float) -> float:
    """Return the max-norm of the gradient at which solvers stop.

    At most `tolerance`, and at most 1e-4 of a uniform label frequency: with thousands of classes an
    absolute 1e-6 alone would leave log q uncertain by a percent.
    """
    return min(0.5 * tolerance, 1e-4 / n_classes)


def normalized_log_prior(beta: FloatArray, present: np.ndarray) -> FloatArray:
    """Return log q (C,) with sum(q) = 1 from beta = -log q + constant.

    Absent classes get the mean beta of the present ones (the geometric mean of their q).
    """
    beta = np.where(present, beta, beta[present].mean())
    return log_softmax(-beta)


def name_classes(indices: Sequence[int], class_names: Sequence[str] | None, shown: int = 5) -> str:
    """Return `3 (tench), 7 (goldfish) and 4 more`."""
    listed = [
        f"{index} ({class_names[index]})" if class_names is not None else str(index)
        for index in indices[:shown]
    ]
    rest = len(indices) - len(listed)
    return ", ".join(listed) + (f" and {rest} more" if rest else "")


def check_class_names(class_names: Sequence[str] | None, n_classes: int) -> None:
    """Refuse a list of class names of the wrong length."""
    if class_names is not None and len(class_names) != n_classes:
        raise UserError(f"class_names: {len(class_names)} names for logits of {n_classes} classes")


def estimate_prior(
    logits: ArrayLike,
    labels: ArrayLike,
    ridge: float | Literal["auto"] = "auto",
    *,
    class_names: Sequence[str] | None = None,
    seed: int = 0,
    tolerance: float = 1e-6,
) -> PriorEstimate:
    """Estimate q by solving Eq. 3 to a certificate.

    With beta = -log q the problem is a convex bias-only logistic regression; its optimality
    condition is that the mean predicted probability of every class equals its label frequency. The
    ridge adds `ridge / (2 N) * ||log q - mean log q||^2` to the mean cross-entropy, i.e. log q is
    a priori normal with variance 1 / ridge; 0 gives the plain optimum, "auto" the value with the
    highest held-out likelihood in a class-stratified 5-fold cross-validation
    (`ridge.choose_ridge`).

    Labels need not be balanced: their frequencies are part of the model, softmax(f - log q + log
    frequency), which is Eq. 3 on a balanced split. A class without a label says nothing about its
    q: it gets the geometric mean of the others' and is listed in `absent`.

    Args:
        logits: (N, C) zero-shot logits, float16 to float64, possibly memory-mapped.
        labels: (N,) class indices.
        ridge: non-negative, or "auto".
        class_names: (C,) for the notes only.
        seed: of the folds.
        tolerance: bound on the max-norm of the gradient of the (penalized) objective.

    Raises:
        UserError: bad shapes or types, values that are not finite, labels out of range, bad ridge.
    """
    regression = BiasRegression(np.asanyarray(logits), np.asanyarray(labels))
    check_class_names(class_names, regression.n_classes)
    target = gradient_target(regression.n_classes, tolerance)
    strength, path, start = strength_of(ridge, regression, seed=seed)
    solution = regression.solve(
        weights=np.ones((regression.n_images, 1)),
        penalty=np.array([strength / regression.n_images]),
        start=start[:, None],
        target=target,
    )
    counts = np.bincount(regression.labels, minlength=regression.n_classes)
    log_q = normalized_log_prior(solution.beta[:, 0], counts > 0)
    return assemble(
        regression,
        log_q,
        estimator="exact",
        ridge=strength,
        ridge_path=path,
        iterations=solution.iterations,
        tolerance=tolerance,
        class_names=class_names,
    )


def assemble(
    regression: BiasRegression,
    log_q: FloatArray,
    *,
    estimator: str,
    ridge: float,
    ridge_path: tuple[RidgePoint, ...],
    iterations: int,
    tolerance: float,
    class_names: Sequence[str] | None,
    scale: float | None = None,
    converged: bool | None = None,
    notes: Sequence[str] = (),
) -> PriorEstimate:
    """Certify `log_q` and say in words what deserves attention.

    `scale` is a fitted one. `converged` is for an estimate that is not meant to be the optimum on the
    whole split.
    """
    counts = np.bincount(regression.labels, minlength=regression.n_classes)
    present = counts > 0
    certificate = certify(regression.logits, regression.labels, log_q, ridge, scale)
    if converged is None:
        converged = certificate.gradient <= tolerance
    log_factor = float(log_q[present].max() - log_q[present].min())
    factor = float(np.exp(min(log_factor, 700.0)))
    said = [*notes, *_notes_on_split(counts, regression.predictions, class_names)]
    if factor > SUSPICIOUS_FACTOR:
        said.append(
            f"imbalance factor {factor:.3g}: the logits nearly separate the classes and the "
            'optimum runs away; use ridge "auto" or a larger ridge'
        )
    if (log_q < LOWEST_LOG_Q).any():
        log_q = np.maximum(log_q, LOWEST_LOG_Q)
        said.append(f"log q below {LOWEST_LOG_Q:g} was raised to it")
    if ridge_path and ridge in (ridge_path[0].ridge, ridge_path[-1].ridge):
        said.append(f"the chosen ridge {ridge:g} is the last one tried on its side")
    if not converged:
        said.append(
            f"not the optimum: the gradient's largest entry is {certificate.gradient:.2g} "
            f"(tolerance {tolerance:g})"
        )
    return PriorEstimate(
        q=np.exp(log_q),
        log_q=log_q,
        estimator=estimator,
        scale=1.0 if scale is None else scale,
        ridge=ridge,
        ridge_path=ridge_path,
        residual=certificate.residual,
        gradient=certificate.gradient,
        objective=certificate.objective,
        iterations=iterations,
        converged=converged,
        imbalance_factor=factor,
        absent=tuple(np.flatnonzero(~present).tolist()),
        never_predicted=tuple(np.flatnonzero(regression.predictions == 0).tolist()),
        notes=tuple(said),
    )


def _notes_on_split(
    counts: IntArray, predictions: IntArray, class_names: Sequence[str] | None
) -> Iterator[str]:
    """What deserves attention in the number of labels and of predictions (C,) of each class."""
    absent, present = np.flatnonzero(counts == 0).tolist(), counts[counts > 0]
    if absent:
        yield (
            f"{len(absent)} class(es) without a label in the split: "
            f"{name_classes(absent, class_names)}; their q is the geometric mean of the others'"
        )
    never = np.flatnonzero(predictions == 0).tolist()
    if never:
        yield (
            f"{len(never)} class(es) never predicted by the zero-shot model: "
            f"{name_classes(never, class_names)}; their q is finite but uncertain"
        )
    if present.min() < present.max():
        yield (
            f"the split is not balanced ({present.min()} to {present.max()} labels per class): "
            "label frequencies are modeled, so that they do not enter q"
        )

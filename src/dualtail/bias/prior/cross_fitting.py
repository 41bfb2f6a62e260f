"""The pre-training prior q, cross-fitted: from a split that is also trained on (Eq. 3).

A dataset without validation split leaves only its long-tailed training split. Each fold of it gets
an estimate from the other folds; the prior is their geometric mean, and every image is judged by
the one estimate that did not see it.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from dualtail.bias.folds import held_out_folds
from dualtail.bias.prior.estimate import (
    PriorEstimate,
    assemble,
    check_class_names,
    gradient_target,
    normalized_log_prior,
)
from dualtail.bias.prior.regression import BiasRegression
from dualtail.bias.prior.ridge import strength_of
from dualtail.bias.softmax import FloatArray


def cross_fit_prior(
    logits: ArrayLike,
    labels: ArrayLike,
    ridge: float | Literal["auto"] = "auto",
    *,
    class_names: Sequence[str] | None = None,
    seed: int = 0,
    tolerance: float = 1e-6,
) -> PriorEstimate:
    """Estimate q as the geometric mean of one estimate per fold, each made without that fold.

    Label frequencies are part of the model, as in `estimate_prior`. A class that the other folds
    lack takes no part in a fold's estimate; its q is the mean over the folds that have it.

    Args:
        logits, labels, ridge, class_names, seed, tolerance: as in `estimate_prior`; "auto" chooses
            one ridge for all folds.

    Returns:
        The estimate; `converged` says that all folds are, `residual` and `gradient` are those of
        the mean on the whole split, where it is not the optimum.

    Raises:
        UserError: fewer than two images, and what `estimate_prior` raises.
    """
    regression = BiasRegression(np.asanyarray(logits), np.asanyarray(labels))
    check_class_names(class_names, regression.n_classes)
    strength, path, start = strength_of(ridge, regression, seed=seed)
    held_out = held_out_folds(regression.labels, seed=seed)
    training = np.where(held_out, 0.0, 1.0)
    solution = regression.solve(
        weights=training,
        penalty=strength / training.sum(axis=0),
        start=np.repeat(start[:, None], held_out.shape[1], axis=1),
        target=gradient_target(regression.n_classes, tolerance),
    )
    seen = np.stack(
        [
            np.bincount(regression.labels, weights, regression.n_classes) > 0
            for weights in training.T
        ],
        axis=1,
    )
    beta = _mean_over_folds(solution.beta, seen)
    judged = float(regression.losses(solution.beta)[held_out].mean())
    unjudged = float(regression.losses(np.zeros_like(solution.beta))[held_out].mean())
    return assemble(
        regression,
        normalized_log_prior(beta, np.asarray(seen.any(axis=1))),
        estimator="cross-fitted",
        ridge=strength,
        ridge_path=path,
        iterations=solution.iterations,
        tolerance=tolerance,
        class_names=class_names,
        converged=bool(solution.converged.all()),
        notes=[
            f"cross-fitted over {held_out.shape[1]} folds: cross-entropy of images under the estimate "
            f"that did not see them {judged:.4f} nats, without a prior {unjudged:.4f}"
        ],
    )


def _mean_over_folds(beta: FloatArray, seen: np.ndarray) -> FloatArray:
    """Mean (C,) of the folds' beta (C, K) over those that saw the class.

    Each column is free up to a constant: it is fixed at the classes that all folds saw.
    """
    everywhere = seen.all(axis=1)
    if everywhere.any():
        beta = beta - beta[everywhere].mean(axis=0)
    folds = seen.sum(axis=1)
    return np.where(seen, beta, 0.0).sum(axis=1) / np.maximum(folds, 1)

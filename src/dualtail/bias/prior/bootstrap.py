"""Bootstrap intervals of q and of the imbalance factor."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from dualtail.bias.prior.estimate import PriorEstimate, normalized_log_prior
from dualtail.bias.prior.regression import BiasRegression
from dualtail.bias.softmax import FloatArray, IntArray
from dualtail.errors import UserError

COLUMNS_AT_ONCE = 50
"""Replicates solved together: more share each pass over the logits, at 8 N bytes apiece."""

LEVEL = 0.95
"""Coverage aimed at."""

RESAMPLED = ("exact", "cross-fitted")
"""Estimators that have intervals."""


@dataclass(frozen=True, eq=False)
class PriorIntervals:
    """Percentile intervals of a prior, 95 %.

    ci_low, ci_high: (C,) of q; (0, 1) for a class without a label, about which nothing is known.
    imbalance_low, imbalance_high: of max q / min q.
    """

    ci_low: FloatArray
    ci_high: FloatArray
    imbalance_low: float
    imbalance_high: float


def stratified_resamples(labels: IntArray, replicates: int, rng: np.random.Generator) -> FloatArray:
    """Return how often each image is drawn (N, B) when every class is resampled to its own size."""
    weights = np.zeros((labels.size, replicates))
    order = np.argsort(labels, kind="stable")
    counts = np.bincount(labels)
    ends = np.cumsum(counts)
    first, size = np.repeat(ends - counts, counts), np.repeat(counts, counts)
    for column in weights.T:
        drawn = order[first + np.floor(rng.random(labels.size) * size).astype(np.int64)]
        column += np.bincount(drawn, minlength=labels.size)
    return weights


def bootstrap_prior(
    logits: ArrayLike,
    labels: ArrayLike,
    estimate: PriorEstimate,
    *,
    replicates: int = 200,
    seed: int = 0,
) -> PriorIntervals:
    """Return percentile intervals of an estimate by resampling images within classes.

    Every replicate is the full optimum of Eq. 3 on its resample, at the ridge of `estimate` (which
    is not chosen anew), started from `estimate`; replicates are weighted problems that share each
    pass over the logits. So it is for a cross-fitted estimate too: folds of a resample would share
    images. The imbalance factor is a ratio of extremes: its replicates, hence its interval, lie
    above the estimate when classes have few images.

    Args:
        logits, labels: as given to `estimate_prior`.
        estimate: its result.
        replicates: resamples, at least 2.

    Raises:
        UserError: fewer than 2 replicates, an estimate of other classes or one that Eq. 3 did not give.
    """
    from tqdm import tqdm

    if replicates < 2:
        raise UserError(f"bootstrap: {replicates} replicate(s); at least 2 are needed")
    if estimate.estimator not in RESAMPLED:
        raise UserError(
            f"bootstrap: the prior was estimated by {estimate.estimator!r}; only {RESAMPLED[0]} and "
            f"{RESAMPLED[1]} ones are resampled"
        )
    regression = BiasRegression(np.asanyarray(logits), np.asanyarray(labels))
    if estimate.log_q.shape != (regression.n_classes,):
        raise UserError(
            f"bootstrap: a prior of {estimate.log_q.size} classes for logits of "
            f"{regression.n_classes}"
        )
    present = np.bincount(regression.labels, minlength=regression.n_classes) > 0
    weights = stratified_resamples(regression.labels, replicates, np.random.default_rng(seed))
    log_q = np.empty((replicates, regression.n_classes))
    for first in tqdm(
        range(0, replicates, COLUMNS_AT_ONCE), desc="bootstrap of q", disable=None, leave=False
    ):
        batch = weights[:, first : first + COLUMNS_AT_ONCE]
        n_columns = batch.shape[1]
        solution = regression.solve(
            weights=batch,
            penalty=np.full(n_columns, estimate.ridge / regression.n_images),
            start=np.repeat(-estimate.log_q[:, None], n_columns, axis=1),
            # A thousandth of a label frequency: far below the spread over resamples.
            target=1e-3 / regression.n_classes,
        )
        for column in range(n_columns):
            log_q[first + column] = normalized_log_prior(solution.beta[:, column], present)
    edges = [50 * (1 - LEVEL), 50 * (1 + LEVEL)]
    low, high = np.exp(np.percentile(log_q, edges, axis=0))
    spans = log_q[:, present].max(axis=1) - log_q[:, present].min(axis=1)
    factor_low, factor_high = np.exp(np.minimum(np.percentile(spans, edges), 700.0))
    return PriorIntervals(
        ci_low=np.where(present, low, 0.0),
        ci_high=np.where(present, high, 1.0),
        imbalance_low=float(factor_low),
        imbalance_high=float(factor_high),
    )

"""Bootstrap intervals of q that hold the bias of the ridge.

A resample alone shows how an estimate varies, not that the ridge has drawn it to its mean: at 20 images
per class and an accuracy of .93 such intervals held the truth for 29 % of the classes. So each replicate
also draws what the ridge stands for: it pulls b = -scale * log q, not to its mean, but to a draw of
its prior, a normal with variance 1 / ridge. Where the images say much the draw does not matter; where
they say nothing the interval is that of the prior (perturbed optima are draws of the posterior, Gu and
Oliver, 2007). On average over classes these intervals cover; no interval of max q / min q does, a ratio
of extremes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from dualtail.bias.prior.calibration import profile
from dualtail.bias.prior.estimate import PriorEstimate, normalized_log_prior
from dualtail.bias.prior.regression import BiasRegression
from dualtail.bias.softmax import FloatArray
from dualtail.errors import UserError
from dualtail.resampling import class_resampler

COLUMNS_AT_ONCE = 50
"""Replicates solved together: more share each pass over the logits, at 8 N bytes apiece."""

LEVEL = 0.95
"""Coverage aimed at."""

RESAMPLED = ("calibrated", "exact", "cross-fitted")
"""Estimators that have intervals."""


@dataclass(frozen=True, eq=False)
class PriorIntervals:
    """Percentile intervals of a prior, 95 %.

    ci_low, ci_high: (C,) of q; (0, 1) for a class without a label, about which nothing is known.
    """

    ci_low: FloatArray
    ci_high: FloatArray


def bootstrap_prior(
    logits: ArrayLike,
    labels: ArrayLike,
    estimate: PriorEstimate,
    *,
    replicates: int = 200,
    seed: int = 0,
) -> PriorIntervals:
    """Return percentile intervals of an estimate by resampling images within classes.

    Every replicate is the full optimum on its resample, at the ridge of `estimate` (which is not
    chosen anew), started from `estimate`; replicates are weighted problems that share each pass over
    the logits. So it is for a cross-fitted estimate too: folds of a resample would share images. The
    scale of a calibrated one is drawn from the normal that the curvature of its objective gives, and
    replicates are moved along with it.

    Args:
        logits, labels: as given to the estimator.
        estimate: its result.
        replicates: resamples, at least 2.

    Raises:
        UserError: fewer than 2 replicates, an estimate of other classes or of another kind.
    """
    if replicates < 2:
        raise UserError(f"bootstrap: {replicates} replicate(s); at least 2 are needed")
    if estimate.estimator not in RESAMPLED:
        raise UserError(
            f"bootstrap: the prior was estimated by {estimate.estimator!r}; only "
            f"{', '.join(RESAMPLED)} ones are resampled"
        )
    regression = BiasRegression(np.asanyarray(logits), np.asanyarray(labels), estimate.scale)
    if estimate.log_q.shape != (regression.n_classes,):
        raise UserError(
            f"bootstrap: a prior of {estimate.log_q.size} classes for logits of "
            f"{regression.n_classes}"
        )
    present = np.bincount(regression.labels, minlength=regression.n_classes) > 0
    generator = np.random.default_rng(seed)
    scales, shifts = _scales(regression, estimate, replicates, generator)
    log_q = np.empty((replicates, regression.n_classes))
    for column, beta in enumerate(_replicates(regression, estimate, replicates, generator)):
        moved = (beta + shifts[column]) / scales[column]
        log_q[column] = normalized_log_prior(moved, present)
    # The k-th of B stands at k / (B + 1), where the truth is expected if it is one more replicate.
    edges = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    low, high = np.exp(np.quantile(log_q, edges, axis=0, method="weibull"))
    return PriorIntervals(ci_low=np.where(present, low, 0.0), ci_high=np.where(present, high, 1.0))


def _replicates(
    regression: BiasRegression,
    estimate: PriorEstimate,
    replicates: int,
    generator: np.random.Generator,
) -> FloatArray:
    """Return the optima (B, C) of resamples that are pulled to draws of the ridge's prior."""
    from tqdm import tqdm

    draw, start = class_resampler(regression.labels), -estimate.scale * estimate.log_q
    found = np.empty((replicates, regression.n_classes))
    for first in tqdm(
        range(0, replicates, COLUMNS_AT_ONCE), desc="bootstrap of q", disable=None, leave=False
    ):
        n_columns = min(COLUMNS_AT_ONCE, replicates - first)
        weights = np.stack([draw(generator) for _ in range(n_columns)], axis=1)
        pull = generator.standard_normal((n_columns, regression.n_classes)).T
        solution = regression.solve(
            weights=weights,
            penalty=np.full(n_columns, estimate.ridge / regression.n_images),
            start=np.repeat(start[:, None], n_columns, axis=1),
            # A thousandth of a label frequency: far below the spread over resamples.
            target=1e-3 / regression.n_classes,
            pull=pull / estimate.ridge**0.5 if estimate.ridge else None,
        )
        found[first : first + n_columns] = solution.beta.T
    return found


def _scales(
    regression: BiasRegression,
    estimate: PriorEstimate,
    replicates: int,
    generator: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Return the scale of every replicate (B,), and what it moves beta by (B, C)."""
    scales = np.full(replicates, estimate.scale)
    shifts = np.zeros((replicates, regression.n_classes))
    if estimate.estimator != "calibrated":
        return scales, shifts
    penalty = estimate.ridge / regression.n_images
    found = profile(regression, -estimate.scale * estimate.log_q, penalty)
    spread = (found.curvature * regression.n_images) ** -0.5 if found.curvature > 0 else 0.0
    # No further than half or twice: beyond, the optimum is not linear in the scale.
    drawn = scales + spread * generator.standard_normal(replicates)
    drawn = np.clip(drawn, 0.5 * estimate.scale, 2 * estimate.scale)
    return drawn, (drawn - scales)[:, None] * found.response

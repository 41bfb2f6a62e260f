"""What adjusting and fusing models change, each judged on images that it was not fitted on. Pure.

The images of every class are cut into halves. A model's q is estimated on one half and divided out of its
predictions on the other, both ways. The best combination is chosen on one half, too, and judged on
the other; there the choice rests on a q that was estimated on quarters, as a combination that was judged on
the images of its own q would look better than it is.

Memory: the predictions, a byte per image and combination; half of one model's logits, and what the
estimation of q on it takes (4 N C / 2 bytes); blocks of 32 MiB per model. Measured on one core, three dumps
of 6,000 images and 4,000 classes: 164 s and 0.6 GB for the whole audit; both grow with N C.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dualtail.bias.folds import stratified_folds
from dualtail.bias.fusion import member_weights
from dualtail.bias.fusion_rules import make_fusion_rule
from dualtail.bias.member_sets import member_sets
from dualtail.bias.prior.calibration import estimate_prior_calibrated
from dualtail.bias.settings import FUSION_OPTIONS
from dualtail.bias.softmax import FloatArray, IntArray, read_block, row_blocks
from dualtail.outputs import Outputs

Bools = NDArray[np.bool_]
QUARTERS = 4


class Combination(NamedTuple):
    """Some of the models, each perhaps adjusted by its q, and fused if they are several."""

    models: tuple[int, ...]
    """by their place"""
    adjusted: bool
    rule: str
    """of `FUSION_OPTIONS`; "" for one model"""


@dataclass(frozen=True, eq=False)
class CrossFitted:
    """Which images every combination gets right, with q from images of the other half.

    Attributes:
        combinations: K, simple ones first.
        right: (K, N)
        chosen: The best combination on each half, to be judged on the other.
        chosen_right: (N,) of the one that the other half chose.
        single_right: (N,) of the one model, not adjusted, that the other half chose.
        singles: That model, chosen on each half.
        half: (N,) 0 or 1, which half an image is in.
        log_q: (M, 2, C) of every model, for the images of each half: from those of the other.
    """

    combinations: list[Combination]
    right: Bools
    chosen: tuple[Combination, Combination]
    chosen_right: Bools
    single_right: Bools
    singles: tuple[Combination, Combination]
    half: IntArray
    log_q: FloatArray

    def of(self, *models: int, adjusted: bool = False, rule: str = "") -> Bools:
        """Which images one combination gets right, (N,)."""
        return self.right[self.combinations.index(Combination(models, adjusted, rule))]


def combinations_of(n_models: int) -> list[Combination]:
    """Return every set of models (see `member_sets`), as it is and adjusted, by every rule."""
    return [
        Combination(tuple(map(int, models)), adjusted, rule)
        for models in member_sets([str(m) for m in range(n_models)])
        for adjusted in (False, True)
        for rule in ([""] if len(models) == 1 else FUSION_OPTIONS)
    ]


def cross_fit(dumps: Sequence[Outputs], seed: int) -> CrossFitted | None:
    """Try all combinations of models over the same images.

    Args:
        dumps: One per model, of the same split.
        seed: Of the halves and of the folds that choose ridges.

    Returns:
        None where the images are too few: a quarter of them has labels of one class only.
    """
    labels = np.asarray(dumps[0].labels)
    quarter = stratified_folds(labels, QUARTERS, np.random.default_rng(seed))
    if any(np.unique(labels[quarter == part]).size < 2 for part in range(QUARTERS)):
        return None
    half, tried = quarter % 2, combinations_of(len(dumps))
    fitted = [_log_q(np.asanyarray(dump.logits), labels, quarter, seed) for dump in dumps]
    log_q = np.stack([of_halves for of_halves, _ in fitted])
    right = right_by_folds(tried, dumps, half, log_q)
    adjusted = [k for k, one in enumerate(tried) if one.adjusted]
    within = right.copy()
    within[adjusted] = right_by_folds(
        [tried[k] for k in adjusted],
        dumps,
        quarter,
        np.stack([of_quarters for _, of_quarters in fitted]),
    )
    best = [_best(within, labels, half == part) for part in (0, 1)]
    single = [_best(right[: 2 * len(dumps) : 2], labels, half == part) for part in (0, 1)]
    return CrossFitted(
        combinations=tried,
        right=right,
        chosen=(tried[best[0]], tried[best[1]]),
        chosen_right=np.where(half == 0, right[best[1]], right[best[0]]),
        single_right=np.where(half == 0, right[2 * single[1]], right[2 * single[0]]),
        singles=(tried[2 * single[0]], tried[2 * single[1]]),
        half=half,
        log_q=log_q,
    )


def _log_q(
    logits: np.ndarray, labels: IntArray, quarter: IntArray, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Return log q for the images of each half (2, C), and of each quarter (4, C), from others.

    Quarters k and k + 2 make a half: q for one comes from the other, with the ridge of their half.
    """
    of_halves = np.empty((2, logits.shape[1]))
    of_quarters = np.empty((QUARTERS, logits.shape[1]))
    for part in (0, 1):
        rows = np.flatnonzero(quarter % 2 == part)
        some, truth = np.asarray(logits[rows]), labels[rows]
        estimate = estimate_prior_calibrated(some, truth, seed=seed)
        of_halves[1 - part] = estimate.log_q
        for one, other in ((part, part + 2), (part + 2, part)):
            inner = quarter[rows] == one
            found = estimate_prior_calibrated(some[inner], truth[inner], estimate.ridge)
            of_quarters[other] = found.log_q
    return of_halves, of_quarters


def right_by_folds(
    tried: Sequence[Combination], dumps: Sequence[Outputs], folds: IntArray, log_q: FloatArray
) -> Bools:
    """Return which images every combination gets right (K, N), with log q (M, F, C) by fold (N,)."""
    labels, found = dumps[0].labels, np.empty((len(tried), folds.size), dtype=bool)
    rules = {name: make_fusion_rule(name) for name in FUSION_OPTIONS}
    for rows in row_blocks(*dumps[0].logits.shape):
        plain = [read_block(dump.logits, rows, dump.source) for dump in dumps]
        corrected = [
            block - of_model[folds[rows]] for block, of_model in zip(plain, log_q, strict=True)
        ]
        for k, (models, adjusted, rule) in enumerate(tried):
            blocks = [(corrected if adjusted else plain)[m] for m in models]
            if rule:
                blocks = [rules[rule].fuse(blocks, member_weights(None, len(models)))]
            elif not adjusted:
                found[k, rows] = dumps[models[0]].predicted[rows] == labels[rows]
                continue
            # In single precision, as `adjust` and `fuse` write.
            found[k, rows] = blocks[0].astype(np.float32).argmax(axis=1) == labels[rows]
    return found


def _best(right: Bools, labels: IntArray, part: Bools) -> int:
    """Return which of `right` (K, N) has the highest mean class accuracy on a part of the images."""
    images = np.bincount(labels[part])
    return int(np.argmax(right[:, part] @ (1.0 / images[labels[part]])))

"""Numbers that combine predictions, fitted on labeled images: on all, across folds, and with intervals.

Classes count alike, whatever images they have. The images of the fit are themselves combined by what is
fitted on the other folds (cross-fitted).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dualtail.bias.box_newton import TARGET
from dualtail.bias.folds import held_out_folds
from dualtail.bias.softmax import FloatArray, IntArray
from dualtail.resampling import class_resampler

REPLICATES = 200
"""Of the bootstrap."""


class Combination(NamedTuple):
    """How M predictions are combined."""

    scales: FloatArray
    """(M,) what logits are multiplied by, 1 / temperature"""
    weights: FloatArray
    """(M,) P(m), sum 1; (0,) where there are none"""
    at_bound: tuple[int, ...] = ()
    """(M,) -1 or 1 where a scale lies at the lower or upper bound of its search, else 0; () of replicates"""


@dataclass(frozen=True, eq=False)
class CombinationFit:
    """A combination fitted on one split, and how exactly it is known.

    whole: fitted on all images, for other splits.
    folds: fitted on the images outside of each fold.
    fold_of: (N,) the fold of every image.
    scale_intervals, weight_intervals: (M, 2) 95 % intervals of `whole`: images within classes.
    gap: nats by which a mean log-likelihood may be below its maximum, the largest of all fits.
    """

    whole: Combination
    folds: tuple[Combination, ...]
    fold_of: IntArray
    scale_intervals: FloatArray
    weight_intervals: FloatArray
    gap: float


class Problem(ABC):
    """What is fitted, for any weights of the images."""

    gap: float = TARGET
    """the largest of what was solved"""

    @abstractmethod
    def solve(self, image_weights: FloatArray, whole: Combination | None) -> Combination:
        """Return the optimum for images that count by weights (N,), sum 1; `whole` is that of all images."""

    @abstractmethod
    def nearby(self, image_weights: FloatArray, whole: Combination) -> Combination:
        """Return the optimum as one Newton step from `whole` finds it, for replicates."""


def fit_combination(problem: Problem, labels: IntArray, *, seed: int = 0) -> CombinationFit:
    """Fit on all images, on those outside of each fold, and on resamples.

    Args:
        problem: What is fitted.
        labels: (N,)
        seed: Of folds and resamples.

    Raises:
        UserError: fewer than two images.
    """
    held_out = held_out_folds(labels, seed=seed)
    everyone = balanced_weights(labels)
    whole = problem.solve(everyone, None)
    folds = tuple(problem.solve(balanced_weights(labels, ~out), whole) for out in held_out.T)
    draw, generator = class_resampler(labels), np.random.default_rng(seed)
    found = [problem.nearby(everyone * draw(generator), whole) for _ in range(REPLICATES)]
    scales, weights = (
        np.percentile(drawn, (2.5, 97.5), axis=0).T
        for drawn in ([one.scales for one in found], [one.weights for one in found])
    )
    return CombinationFit(whole, folds, held_out.argmax(axis=1), scales, weights, problem.gap)


def balanced_weights(labels: IntArray, chosen: np.ndarray | None = None) -> FloatArray:
    """Return weights of images (N,), sum 1, that give all classes with an image the same.

    Args:
        labels: (N,)
        chosen: (N,) bool, images that count; all by default.
    """
    counted = np.ones(labels.size) if chosen is None else chosen.astype(float)
    images = np.bincount(labels, counted)
    return counted / np.where(images > 0, images, 1.0)[labels] / np.count_nonzero(images)

"""Folds of a split: what is fitted on the others is applied to each."""

import numpy as np
from numpy.typing import NDArray

from dualtail.bias.softmax import IntArray
from dualtail.errors import UserError

FOLDS = 5


def stratified_folds(labels: IntArray, n_folds: int, rng: np.random.Generator) -> IntArray:
    """Return the fold (N,) of every image; each class is spread over folds as evenly as can be."""
    shuffled = rng.permutation(labels.size)
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    folds = np.empty(labels.size, dtype=np.int64)
    folds[by_class] = np.arange(labels.size) % n_folds
    return folds


def held_out_folds(labels: IntArray, *, seed: int) -> NDArray[np.bool_]:
    """Return (N, K) which images each fold holds out: `FOLDS` folds, fewer for fewer images.

    Raises:
        UserError: fewer than two images.
    """
    if labels.size < 2:
        raise UserError("folds of a split need at least two images")
    n_folds = min(FOLDS, labels.size)
    folds = stratified_folds(labels, n_folds, np.random.default_rng(seed))
    return folds[:, None] == np.arange(n_folds)

"""A training and a test split of labelled images that come as one."""

import numpy as np
from numpy.typing import NDArray


def stratified_split(
    labels: NDArray[np.int64], share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Deal the images of every class to two splits.

    Of n images of a class, round(share * n) are tested, at least one if there are two; a single image
    is trained on.

    Args:
        labels: (N,) classes.
        share: Of test images, between 0 and 1.
        seed: Which images they are.

    Returns:
        Rows of the training and of the test split, ascending.
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(labels))
    tested = np.zeros(len(labels), dtype=bool)
    for c in np.unique(labels):
        own = order[labels[order] == c]
        n = min(max(1, round(share * len(own))), len(own) - 1)
        tested[own[:n]] = True
    return np.flatnonzero(~tested), np.flatnonzero(tested)

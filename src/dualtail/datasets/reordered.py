"""Training sets whose counts follow the pre-training prior, oppose it, or are flat (Table 13, Figure 7)."""

import numpy as np
from numpy.typing import NDArray

from dualtail.datasets.image_list import ImageList
from dualtail.datasets.long_tail import apportion
from dualtail.datasets.settings import Order
from dualtail.errors import UserError


def reordered_counts(
    train_counts: NDArray[np.int64], q: NDArray[np.float64], order: Order
) -> NDArray[np.int64]:
    """Give the counts of a training set to other classes; their sum stays.

    Args:
        train_counts: (C,) images per class of a long-tailed training set.
        q: (C,) pre-training prior of a foundation model.
        order: consistency: the class with the largest q gets the largest count, and so on down;
            reverse: the class with the largest q gets the smallest; balance: all get the same, up to
            one image. Ties of q go by the class index.

    Returns:
        (C,) counts.
    """
    if order == "balance":
        return apportion(np.ones(len(q)), int(train_counts.sum()))
    descending = np.sort(train_counts)[::-1]
    result = np.empty_like(train_counts)
    result[np.argsort(-q, kind="stable")] = (
        descending if order == "consistency" else descending[::-1]
    )
    return result


def draw_rows(
    pool: ImageList, counts: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw images of a pool without replacement: `counts` (C,) of every class.

    Returns:
        (sum of counts,) rows of the pool, ascending.

    Raises:
        UserError: the pool has too few images of a class.
    """
    available = pool.counts(len(counts))
    short = np.flatnonzero(available < counts)
    if len(short):
        c = int(short[0])
        raise UserError(
            f"{pool.source}: {available[c]} images of class {c}, but {counts[c]} are to be drawn "
            f"({len(short)} such classes): the pool of the balance study is the full training split"
        )
    shuffled = rng.permutation(len(pool))
    grouped = shuffled[np.argsort(pool.labels[shuffled], kind="stable")]
    starts = np.concatenate([[0], np.cumsum(available)[:-1]])
    rank = np.arange(len(pool)) - np.repeat(starts, available)
    return np.sort(grouped[rank < np.repeat(counts, available)])

"""Class-stratified bootstrap over the images of one split.

Each replicate weighs the images of every class by a resample of it (`dualtail.resampling`), so that a
replicate of any count is a product of a sparse matrix with these weights, exact and shared by all
dumps of the split: differences are PAIRED.

The intervals hold the spread due to WHICH test images were drawn, not that of training seeds. One is
given only where it covers (`benchmarks/coverage.py`): see `mean_interval` and `moved_interval`.

Memory: a block of `BLOCK` replicates takes 4 bytes per image and replicate; a dump adds 8 bytes per class
and replicate of a block. Measured on
one core with 1000 replicates: 60 dumps of 3,000 images and 60 classes 0.8 s, 10 dumps of 50,000
images and 1000 classes 1.7 s and 150 MB for the whole process.
"""

from collections.abc import Iterator
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from dualtail.errors import UserError
from dualtail.resampling import MOST_UNSEEN, class_resampler, unseen_variance

BLOCK = 64
"""Replicates made together. Part of the definition of the random stream: do not change lightly."""

TAIL = (1.0 - 0.95) / 2
"""Share of the replicates beyond each end of an interval."""

FEWEST_DIFFERENT = 5
"""Images that must differ from the others for an interval: right and wrong ones, or changed ones."""

FEWEST_PER_CLASS = 10
"""Images that every class needs for the interval of what is not linear in them, or chosen by them."""


class Estimate(NamedTuple):
    """A number with its 95 % interval, NaN where there is none."""

    value: float
    low: float = float("nan")
    high: float = float("nan")


def weight_blocks(labels: np.ndarray, replicates: int, seed: int) -> Iterator[np.ndarray]:
    """Yield blocks (N, b) float32 with b <= `BLOCK`: how much image i counts in replicate j.

    Equal labels and seeds give equal weights, whatever they are used for. Replicate j does not
    depend on how many replicates are asked for.

    Args:
        labels: (N,) int class of each image.

    Raises:
        UserError: no replicate asked for, or no image.
    """
    if replicates < 1:
        raise UserError(f"bootstrap replicates: {replicates}; at least 1")
    if labels.size == 0:
        raise UserError("the bootstrap needs at least one image")
    draw = class_resampler(labels)
    for index, first in enumerate(range(0, replicates, BLOCK)):
        width = min(BLOCK, replicates - first)
        generator = np.random.default_rng([seed, index])
        weights = np.empty((width, labels.size), dtype=np.float32)
        for row in range(width):
            weights[row] = draw(generator)
        yield np.ascontiguousarray(weights.T)


def indicator(rows: np.ndarray, n_rows: int, values: np.ndarray | None = None):
    """Return the sparse (n_rows, N) matrix whose column i holds `values[i]` (or 1) in `rows[i]`.

    Multiplied with a block of weights it gives weighted sums of `values` by row.
    """
    from scipy.sparse import csr_matrix

    n = rows.size
    data = np.ones(n, dtype=np.float32) if values is None else values.astype(np.float32)
    kept = data != 0
    return csr_matrix((data[kept], (rows[kept], np.flatnonzero(kept))), shape=(n_rows, n))


def interval(replicates: np.ndarray) -> np.ndarray:
    """Return the percentile interval (2, ...) over the last axis of `replicates` (..., B).

    The k-th of B stands at k / (B + 1), where the truth is expected if it is one more replicate.
    """
    return np.quantile(replicates, [TAIL, 1.0 - TAIL], axis=-1, method="weibull")


def differing(values: np.ndarray) -> int:
    """Return how many of `values` (N,) are not the most common one."""
    counts = np.unique(values, return_counts=True)[1]
    return int(counts.sum() - counts.max()) if counts.size else 0


def mean_interval(
    replicates: np.ndarray, n_differing: int, images: np.ndarray
) -> tuple[float, float]:
    """Return the percentile interval of a mean over classes, or NaN where it would not cover.

    It is stretched as Student's is longer than the normal one, with n - 1 degrees of freedom for each
    class: by 3 % with 20 classes of 3 images. It does not cover with fewer than `FEWEST_DIFFERENT` images
    that differ from the others, where classes with a single image hold more than `MOST_UNSEEN` of the
    variance, and where every class is all alike: its width would be zero.

    Args:
        replicates: (B,) of the mean.
        n_differing: Of its images, see `differing`.
        images: (C,) images of each class of the mean.
    """
    if n_differing < FEWEST_DIFFERENT or unseen_variance(images) > MOST_UNSEEN:
        return np.nan, np.nan
    if np.ptp(replicates) < 1e-9:
        return np.nan, np.nan
    middle = replicates.mean()
    stretch = student_stretch(float(np.maximum(images - 1, 0).sum()))
    low, high = middle + stretch * (interval(replicates) - middle)
    return float(low), float(high)


def student_stretch(freedom: float) -> float:
    """Return by how much Student's interval is longer than the normal one.

    By Fisher's expansion from 200 degrees of freedom on, where its error is below 1e-11: importing
    scipy.special would take 0.3 s of every tuning.
    """
    if freedom < 200:
        from scipy.special import ndtri, stdtrit

        return float(stdtrit(freedom, 1 - TAIL) / ndtri(1 - TAIL))
    z = NormalDist().inv_cdf(1 - TAIL)
    terms = (
        np.polyval([1, 1], z**2) / 4,
        np.polyval([5, 16, 3], z**2) / 96,
        np.polyval([3, 19, 17, -15], z**2) / 384,
        np.polyval([79, 776, 1482, -1920, -945], z**2) / 92160,
    )
    return 1 + float(sum(term / freedom**k for k, term in enumerate(terms, start=1)))


def moved_interval(replicates: np.ndarray, value: float, images: np.ndarray) -> tuple[float, float]:
    """Return the percentile interval of macro-F1 less its bias, or NaN where it would not cover.

    Noise moves what is not linear in the images: the sample away from the truth, and the resamples as
    far again from the sample. So the interval is moved back by twice the latter. That covers from
    `FEWEST_PER_CLASS` images in every class on.

    Args:
        replicates: (B,).
        value: On the sample itself.
        images: (C,) images of each class; classes without any are not in the mean.
    """
    if images[images > 0].min() < FEWEST_PER_CLASS:
        return np.nan, np.nan
    low, high = interval(replicates) - 2 * (replicates.mean() - value)
    return float(np.clip(low, 0, 1)), float(np.clip(high, 0, 1))

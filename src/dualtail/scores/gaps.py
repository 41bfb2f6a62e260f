"""The gap between two models' class accuracies without the noise of the test images (Eq. 5)."""

from typing import NamedTuple

import numpy as np

from dualtail.scores.bootstrap import FEWEST_PER_CLASS, TAIL, Estimate


class Difference(NamedTuple):
    """Difference in correctness of two models, by class; classes of fewer than two images left out.

    mean: (c,) difference in accuracy. images: (c,). per_image: (N,) -1, 0 or 1. index: (N,) which of
    the c classes an image is of.
    """

    mean: np.ndarray
    images: np.ndarray
    per_image: np.ndarray
    index: np.ndarray


def difference(left: np.ndarray, right: np.ndarray, labels: np.ndarray) -> Difference:
    """Return the difference of two models' correctness (N,) bool on the same images."""
    kept = np.bincount(labels)[labels] > 1
    _, index, images = np.unique(labels[kept], return_inverse=True, return_counts=True)
    per_image = left[kept].astype(float) - right[kept]
    return Difference(np.bincount(index, per_image) / images, images, per_image, index)


def squared_gap(pair: Difference) -> Estimate:
    """Return the mean over classes of the squared difference in accuracy, without noise.

    The square of a measured difference d of a class exceeds that of the true one by the variance of d
    on average; s^2 / n, with s^2 the variance over the n images of a class, estimates it without bias.
    What is left may be below 0. No value without a class of two images.
    """
    return _mean([(1.0, pair, pair)])


def squared_gap_change(after: Difference, before: Difference) -> Estimate:
    """Return `squared_gap(after) - squared_gap(before)`, paired: both on the same images."""
    return _mean([(1.0, after, after), (-1.0, before, before)])


def root(squared: Estimate) -> Estimate:
    """Return a squared gap as a gap: the root mean square, 0 where noise explains all."""
    return Estimate(*(float(np.sqrt(max(x, 0.0))) if x == x else x for x in squared))


def _mean(parts: list[tuple[float, Difference, Difference]]) -> Estimate:
    """Mean over classes of the signed sum of squared gaps, and its interval.

    The interval is Student's, with as many degrees of freedom as classes carry the variance; without
    `FEWEST_PER_CLASS` images in every class it does not cover, and there is none.
    """
    first = parts[0][1]
    n = first.images
    if n.size == 0:
        return Estimate(float("nan"))
    value = float(np.mean(sum(sign * _product(a, b) for sign, a, b in parts)))
    if n.min() < FEWEST_PER_CLASS:
        return Estimate(value)
    variance = sum(s * t * _variance(a, b) for s, a, _ in parts for t, b, _ in parts)
    total = float(np.sum(variance))
    if total <= 0:
        return Estimate(value)
    from scipy.stats import t as student

    freedom = total**2 / float(np.sum(np.square(variance)))
    half = float(student.ppf(1 - TAIL, max(freedom, 1.0))) * total**0.5 / n.size
    return Estimate(value, value - half, value + half)


def _covariance(a: Difference, b: Difference) -> np.ndarray:
    """(c,) covariance over the images of a class."""
    products = (a.per_image - a.mean[a.index]) * (b.per_image - b.mean[b.index])
    return np.bincount(a.index, products) / (a.images - 1)


def _product(a: Difference, b: Difference) -> np.ndarray:
    """(c,) product of the true differences, without bias."""
    return a.mean * b.mean - _covariance(a, b) / a.images


def _variance(a: Difference, b: Difference) -> np.ndarray:
    """(c,) covariance of the squared gaps: of the U-statistics of pairs of images (Hoeffding, 1948)."""
    s, n = _covariance(a, b), a.images
    return 4 * _product(a, b) * s / n + 2 * s**2 / (n * (n - 1))

"""Means over classes with bootstrap intervals, of one set of images: light enough for the end of a job."""

import numpy as np

from dualtail.bias.softmax import FloatArray, IntArray
from dualtail.scores.bootstrap import Estimate, differing, mean_interval, weight_blocks


class ClassMeans:
    """Mean class accuracies with class-stratified bootstrap intervals, paired over predictions.

    Memory: 4 bytes per image and replicate.
    """

    def __init__(self, labels: IntArray, n_classes: int, replicates: int, seed: int) -> None:
        self.labels, self.n_classes = labels, n_classes
        self.images = np.bincount(labels, minlength=n_classes)
        self._weights = np.concatenate(list(weight_blocks(labels, replicates, seed)), axis=1)

    def mean(self, values: np.ndarray, classes: np.ndarray | None = None) -> Estimate:
        """Return the mean over classes of the class mean of `values` (N,), over some (C,) bool or all."""
        chosen = np.ones(self.n_classes, bool) if classes is None else classes
        chosen = chosen & (self.images > 0)
        if not chosen.any():
            return Estimate(float("nan"))
        scale = np.where(chosen, 1.0 / np.maximum(self.images, 1), 0.0) / chosen.sum()
        scaled = scale[self.labels] * values
        of_images = np.asarray(values)[chosen[self.labels]].astype(float)
        return _estimate(scaled.sum(), scaled @ self._weights, of_images, self.images[chosen])


def class_means(values: FloatArray, labels: IntArray, replicates: int, seed: int) -> list[Estimate]:
    """Return means over classes of class means, K of them, NaN if there is no image.

    An interval is NaN where it would not cover (`mean_interval`). Memory: one block of replicates.

    Args:
        values: (K, N), one row per quantity.
        labels: (N,) classes.
    """
    if labels.size == 0:
        return [Estimate(float("nan"))] * len(values)
    _, index, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    weighted = values / (sizes[index] * len(sizes))
    blocks = [weighted @ weights for weights in weight_blocks(labels, replicates, seed)]
    columns = zip(weighted.sum(axis=1), np.concatenate(blocks, axis=1), values, strict=True)
    return [_estimate(mean, drawn, of_images, sizes) for mean, drawn, of_images in columns]


def _estimate(mean: float, drawn: FloatArray, of_images: FloatArray, images: IntArray) -> Estimate:
    """The interval of a mean over classes, within the range of what it is a mean of."""
    ends = mean_interval(drawn, differing(of_images), images)
    return Estimate(float(mean), *np.clip(ends, of_images.min(), of_images.max()).tolist())

"""Means over classes with bootstrap intervals, of one set of images: light enough for the end of a job."""

import numpy as np

from dualtail.bias.softmax import IntArray
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
        drawn = scaled @ self._weights
        ends = mean_interval(drawn, differing(of_images), self.images[chosen])
        limits = np.clip(ends, of_images.min(), of_images.max())
        return Estimate(float(scaled.sum()), *limits.tolist())

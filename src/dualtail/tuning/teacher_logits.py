"""What teachers say of the images that a student is tuned on: the rows of their memory-mapped dumps."""

from collections.abc import Sequence

import numpy as np
import torch


class TeacherLogits:
    """The mean of several models' logits, batch by batch; only the rows in use are read.

    Args:
        logits: (N, C) of each teacher, half or single precision, in the order of the training images.
    """

    def __init__(self, logits: Sequence[np.ndarray]) -> None:
        self._logits = logits

    def __call__(self, index: torch.Tensor) -> torch.Tensor:
        """Return (B, C) float32 of the images with indices (B,), on the CPU."""
        rows = index.numpy()
        total = self._logits[0][rows].astype(np.float32)
        for logits in self._logits[1:]:
            total += logits[rows]
        return torch.from_numpy(total / np.float32(len(self._logits)))

"""The interface of a training loss."""

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from dualtail.config.section import Section


class Loss(nn.Module):
    """Maps logits and labels of a batch to a scalar; built from the training counts.

    What it computes from the counts is float64 until it is stored as a float32 buffer.
    """

    Options: ClassVar[type[Section]] = Section
    """what the config may set for this loss"""

    needs_every_class: ClassVar[bool] = True
    """whether a class without training images is an error"""

    needs_prior: ClassVar[bool] = False
    """whether it is also given q (C,), the model's estimated pre-training prior, as a third argument;
    an entry of one's own says so in the config too: `prior: true`"""

    needs_teacher: ClassVar[bool] = False
    """whether `forward` is also given the mean logits (B, C) of teachers, as a third argument; an entry of
    one's own names them in the config: `teacher: [...]`"""

    mean_over_images: ClassVar[bool] = False
    """whether it is the plain mean of one loss an image; then micro-batches need one pass, not two"""

    def __init__(self, train_counts: np.ndarray, options: Any) -> None:
        """Prepare what depends on the classes only.

        Args:
            train_counts: (C,) float64, images of each class in the training split.
            options: A validated `Options`.
        """
        super().__init__()

    @abstractmethod
    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Map (B, C) float32 logits and (B,) labels to a scalar."""
        raise NotImplementedError


def float_tensor(values: np.ndarray) -> torch.Tensor:
    """A float32 tensor for a buffer."""
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def log_prior(train_counts: np.ndarray) -> np.ndarray:
    """(C,) float64 log pi_S, pi_S = train_counts / N."""
    return np.log(train_counts / train_counts.sum())

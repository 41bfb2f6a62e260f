"""Balanced softmax."""

from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from dualtail.tuning.loss_options.bs import Options as OwnOptions
from dualtail.tuning.losses.method import Loss, float_tensor


class BalancedSoftmax(Loss):
    """-log(n_y exp f_y / sum_c n_c exp f_c), the mean over the batch (Ren et al., NeurIPS 2020).

    The same function as logit adjustment with tau = 1, reached from another argument.
    """

    Options = OwnOptions
    mean_over_images: ClassVar[bool] = True
    log_counts: torch.Tensor

    def __init__(self, train_counts: np.ndarray, options: OwnOptions) -> None:
        super().__init__(train_counts, options)
        self.register_buffer("log_counts", float_tensor(np.log(train_counts)))

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits + self.log_counts, labels)


METHOD = BalancedSoftmax

"""Logit adjustment in training."""

from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from dualtail.tuning.loss_options.la import Options as OwnOptions
from dualtail.tuning.losses.method import Loss, float_tensor, log_prior


class LogitAdjusted(Loss):
    """CE(f + tau log pi_S, y), the mean over the batch (Eq. 2; Menon et al., ICLR 2021)."""

    Options = OwnOptions
    mean_over_images: ClassVar[bool] = True
    log_prior: torch.Tensor

    def __init__(self, train_counts: np.ndarray, options: OwnOptions) -> None:
        super().__init__(train_counts, options)
        self.register_buffer("log_prior", float_tensor(options.tau * log_prior(train_counts)))

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits + self.log_prior, labels)


METHOD = LogitAdjusted

"""Generalized logit adjustment in training."""

from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from dualtail.tuning.loss_options.gla import Options as OwnOptions
from dualtail.tuning.losses.method import Loss, float_tensor, log_prior


class GeneralizedLogitAdjusted(Loss):
    """CE(f + log pi_S + log q, y), the mean over the batch (Eq. 6, the first stage of GLA-Train)."""

    Options = OwnOptions
    needs_prior: ClassVar[bool] = OwnOptions.needs_prior
    mean_over_images: ClassVar[bool] = True
    log_priors: torch.Tensor

    def __init__(self, train_counts: np.ndarray, options: OwnOptions, q: np.ndarray) -> None:
        super().__init__(train_counts, options)
        self.register_buffer("log_priors", float_tensor(log_prior(train_counts) + np.log(q)))

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits + self.log_priors, labels)


METHOD = GeneralizedLogitAdjusted

"""Generalized re-weighting."""

import numpy as np
import torch
import torch.nn.functional as F

from dualtail.tuning.loss_options.grw import Options as OwnOptions
from dualtail.tuning.losses.method import Loss, float_tensor


class GeneralizedReweight(Loss):
    """CE weighted by pi_S^(-exponent) (Zhang et al., DisAlign, CVPR 2021).

    The batch's loss is sum_i w_yi CE_i / sum_i w_yi.
    """

    Options = OwnOptions
    weights: torch.Tensor

    def __init__(self, train_counts: np.ndarray, options: OwnOptions) -> None:
        super().__init__(train_counts, options)
        weights = (train_counts / train_counts.sum()) ** -options.exponent
        self.register_buffer("weights", float_tensor(weights / weights.mean()))

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits, labels, weight=self.weights)


METHOD = GeneralizedReweight

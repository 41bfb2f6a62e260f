"""Class-balanced loss."""

import numpy as np
import torch
import torch.nn.functional as F

from dualtail.tuning.loss_options.cb import Options as OwnOptions
from dualtail.tuning.losses.method import Loss, float_tensor


class ClassBalanced(Loss):
    """CE weighted by the inverse effective number of images (Cui et al., CVPR 2019).

    w_c = (1 - beta) / (1 - beta^n_c); the batch's loss is sum_i w_yi CE_i / sum_i w_yi.
    """

    Options = OwnOptions
    weights: torch.Tensor

    def __init__(self, train_counts: np.ndarray, options: OwnOptions) -> None:
        super().__init__(train_counts, options)
        # 1 - beta^n without cancellation.
        effective = -np.expm1(train_counts * np.log(options.beta))
        weights = 1 / effective
        self.register_buffer("weights", float_tensor(weights / weights.mean()))

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits, labels, weight=self.weights)


METHOD = ClassBalanced

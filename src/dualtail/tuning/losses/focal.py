"""Focal loss."""

from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from dualtail.tuning.loss_options.focal import Options as OwnOptions
from dualtail.tuning.losses.method import Loss


class Focal(Loss):
    """-(1 - p_y)^gamma log p_y, the mean over the batch (Lin et al., ICCV 2017)."""

    Options = OwnOptions
    needs_every_class: ClassVar[bool] = False
    mean_over_images: ClassVar[bool] = True

    def __init__(self, train_counts: np.ndarray, options: OwnOptions) -> None:
        super().__init__(train_counts, options)
        self.gamma = options.gamma

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        log_p = -F.cross_entropy(logits, labels, reduction="none")
        # 1 - p without cancellation; never exactly 0, where gamma < 1 has an infinite slope.
        rest = (-torch.expm1(log_p)).clamp(min=torch.finfo(log_p.dtype).tiny)
        return -(rest**self.gamma * log_p).mean()


METHOD = Focal

"""Label-distribution-aware margins."""

from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from dualtail.tuning.loss_options.ldam import Options as OwnOptions
from dualtail.tuning.losses.method import Loss, float_tensor


class Ldam(Loss):
    """CE with the true class's logit lowered by scale * m_y (Cao et al., NeurIPS 2019).

    m_c is proportional to n_c^(-1/4); the rarest class has `max_margin`. The margin is meant for
    cosines, so it is multiplied by the head's scale.
    """

    Options = OwnOptions
    mean_over_images: ClassVar[bool] = True
    margins: torch.Tensor

    def __init__(self, train_counts: np.ndarray, options: OwnOptions) -> None:
        super().__init__(train_counts, options)
        margins = (train_counts.min() / train_counts) ** 0.25
        self.register_buffer("margins", float_tensor(options.scale * options.max_margin * margins))

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        lowered = F.one_hot(labels, len(self.margins)) * self.margins
        return F.cross_entropy(logits - lowered, labels)


METHOD = Ldam

"""Cross entropy."""

from typing import ClassVar

import torch
import torch.nn.functional as F

from dualtail.tuning.loss_options.ce import Options as OwnOptions
from dualtail.tuning.losses.method import Loss


class CrossEntropy(Loss):
    """CE(f, y), the mean over the batch; blind to the training counts."""

    Options = OwnOptions
    needs_every_class: ClassVar[bool] = False
    mean_over_images: ClassVar[bool] = True

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits, labels)


METHOD = CrossEntropy

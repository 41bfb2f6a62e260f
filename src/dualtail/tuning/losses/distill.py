"""Distillation of several tuned models into one."""

from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from dualtail.tuning.loss_options.distill import Options as OwnOptions
from dualtail.tuning.losses.method import Loss, float_tensor, log_prior


class Distilled(Loss):
    """CE(f + log pi_S, y) + weight T^2 KL(softmax(t / T) || softmax(f / T)), the mean over the batch.

    t is the mean of the teachers' logits, which is what fusing by logits predicts; the divergence is that of
    Hinton et al. (2015), beside logit adjustment (Eq. 2).
    """

    Options = OwnOptions
    needs_teacher: ClassVar[bool] = True
    mean_over_images: ClassVar[bool] = True
    log_prior: torch.Tensor

    def __init__(self, train_counts: np.ndarray, options: OwnOptions) -> None:
        super().__init__(train_counts, options)
        self.register_buffer("log_prior", float_tensor(log_prior(train_counts)))
        self.weight, self.temperature = options.weight, options.temperature

    def forward(  # type: ignore[override]
        self, logits: torch.Tensor, labels: torch.Tensor, teacher: torch.Tensor
    ) -> torch.Tensor:
        adjusted = F.cross_entropy(logits + self.log_prior, labels)
        own, theirs = ((f / self.temperature).log_softmax(dim=1) for f in (logits, teacher))
        divergence = F.kl_div(own, theirs, reduction="batchmean", log_target=True)
        return adjusted + self.weight * self.temperature**2 * divergence


METHOD = Distilled

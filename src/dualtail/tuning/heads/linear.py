"""The linear classifier."""

import torch
import torch.nn.functional as F
from torch import nn

from dualtail.tuning.heads.method import Head


class LinearHead(Head):
    """`logits = x @ W.T + b`; b starts at zero."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__(weight)
        self.bias = nn.Parameter(torch.zeros_like(self.weight[:, 0]))

    @staticmethod
    def random_weight(n_classes: int, width: int, generator: torch.Generator) -> torch.Tensor:
        """Kaiming normal: standard deviation sqrt(2 / D)."""
        return nn.init.kaiming_normal_(torch.empty(n_classes, width), generator=generator)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return F.linear(features, self.weight, self.bias)

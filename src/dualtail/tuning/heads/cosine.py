"""The cosine classifier."""

import torch
import torch.nn.functional as F

from dualtail.tuning.heads.method import Head


class CosineHead(Head):
    """`logits = scale * norm(x) @ norm(W).T`, W (C, D) trained, the scale fixed."""

    def __init__(self, weight: torch.Tensor, scale: float) -> None:
        super().__init__(weight)
        self.scale = scale

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.scale * F.linear(
            F.normalize(features, dim=-1), F.normalize(self.weight, dim=-1)
        )

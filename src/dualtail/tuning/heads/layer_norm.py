"""The classifier on layer-normalized features."""

import torch
import torch.nn.functional as F

from dualtail.tuning.heads.method import Head

EPSILON = 1e-12
"""Added to the variance of a feature."""


class LayerNormHead(Head):
    """`logits = LN(x) @ norm(W).T`; LN has no gain and no bias."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        normed = F.layer_norm(features, features.shape[-1:], eps=EPSILON)
        return F.linear(normed, F.normalize(self.weight, dim=-1))

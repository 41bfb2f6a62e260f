"""The classifier with weights of length one."""

import torch
import torch.nn.functional as F

from dualtail.tuning.heads.method import Head


class L2NormHead(Head):
    """`logits = x @ norm(W).T`; the features keep their length."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return F.linear(features, F.normalize(self.weight, dim=-1))

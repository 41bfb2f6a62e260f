"""The interface of a classifier on top of the features."""

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import nn


class Head(nn.Module):
    """Maps features (B, D) to logits (B, C); W (C, D) is trained, in float32."""

    def __init__(self, weight: torch.Tensor) -> None:
        """Start from `weight` (C, D)."""
        super().__init__()
        self.weight = nn.Parameter(weight.detach().clone().float())

    @property
    def n_classes(self) -> int:
        return self.weight.shape[0]

    @staticmethod
    def random_weight(n_classes: int, width: int, generator: torch.Generator) -> torch.Tensor:
        """Where W starts without any knowledge: uniform in a cube, rows scaled to length one."""
        weight = torch.empty(n_classes, width).uniform_(-1, 1, generator=generator)
        return F.normalize(weight, dim=-1)

    @abstractmethod
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map (B, D) features to (B, C) logits."""
        raise NotImplementedError

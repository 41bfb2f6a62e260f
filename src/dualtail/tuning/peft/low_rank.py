"""A low-rank map beside a frozen linear layer, and what methods made of such maps share."""

import math
from abc import abstractmethod

import torch
from torch import nn

from dualtail.foundation.vision import VisionTower
from dualtail.tuning.backbone import BackboneShape
from dualtail.tuning.peft.bottleneck import bottleneck_width
from dualtail.tuning.peft.method import PeftMethod
from dualtail.tuning.peft_options._low_rank import LowRankOptions


class LowRank(nn.Module):
    """`x A B / r`, added to the output of a linear layer; A (n_in, r), B (r, n_out).

    B starts at zero, so nothing changes at first; A is uniform in +-1 / sqrt(r), which is what
    Kaiming's rule makes of a matrix stored with its inputs first (LIFT). Parameters stay float32;
    the products run in the precision of `x`.
    """

    def __init__(self, n_in: int, n_out: int, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.empty(n_in, rank))
        self.b = nn.Parameter(torch.zeros(rank, n_out))
        bound = 1 / math.sqrt(rank)
        nn.init.uniform_(self.a, -bound, bound, generator=generator)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        low = x @ self.a.to(x.dtype)
        return low @ (self.b / self.b.shape[0]).to(x.dtype)

    def attach(self, linear: nn.Module) -> None:
        """Make `linear` compute `linear(x) + self(x)`."""
        linear.register_forward_hook(self._add)

    def _add(
        self, _module: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor
    ) -> torch.Tensor:
        return output + self(args[0])


class LowRankMethod(PeftMethod):
    """Low-rank maps in every block; a method says where, by `block_maps`."""

    Options = LowRankOptions

    def __init__(
        self,
        shape: BackboneShape,
        n_classes: int,
        options: LowRankOptions,
        generator: torch.Generator,
    ) -> None:
        super().__init__(shape, n_classes, options, generator)
        rank = bottleneck_width(options.rank, n_classes, shape.layers)
        self.blocks = nn.ModuleList(
            self.block_maps(shape, rank, generator) for _ in shape.last_blocks(options.blocks)
        )

    @staticmethod
    @abstractmethod
    def block_maps(shape: BackboneShape, rank: int, generator: torch.Generator) -> nn.Module:
        """Make one block's maps: a module with `attach(block)`."""

    def attach(self, visual: VisionTower) -> None:
        for maps, block in self.pair_with_last_blocks(self.blocks, visual):
            maps.attach(block)  # type: ignore[operator]

"""LoRA on the two layers of the FFN."""

import torch
from torch import nn

from dualtail.tuning.backbone import BackboneShape
from dualtail.tuning.peft.low_rank import LowRank, LowRankMethod


class FfnLora(nn.Module):
    """One block's two low-rank maps."""

    def __init__(self, shape: BackboneShape, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        self.first = LowRank(shape.width, shape.ffn_width, rank, generator)
        self.second = LowRank(shape.ffn_width, shape.width, rank, generator)

    def attach(self, block: nn.Module) -> None:
        """Add the maps to the outputs of both layers."""
        self.first.attach(block.get_submodule("mlp.c_fc"))
        self.second.attach(block.get_submodule("mlp.c_proj"))


class LoraFfn(LowRankMethod):
    """Low-rank maps on both layers of the FFN of every block (Hu et al., ICLR 2022)."""

    @staticmethod
    def block_maps(shape: BackboneShape, rank: int, generator: torch.Generator) -> nn.Module:
        return FfnLora(shape, rank, generator)


METHOD = LoraFfn

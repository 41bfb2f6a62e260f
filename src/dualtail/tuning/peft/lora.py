"""LoRA on the queries and values of the attention."""

import torch
from torch import nn

from dualtail.tuning.attention import OpenAttention
from dualtail.tuning.backbone import BackboneShape
from dualtail.tuning.peft.low_rank import LowRank, LowRankMethod


class AttentionLora(nn.Module):
    """One block's two low-rank maps."""

    def __init__(self, width: int, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        self.query = LowRank(width, width, rank, generator)
        self.value = LowRank(width, width, rank, generator)

    def attach(self, block: nn.Module) -> None:
        """Add the maps to queries and values, before the attention."""
        attention = OpenAttention.replace(block)
        self.query.attach(attention.query)
        self.value.attach(attention.value)


class Lora(LowRankMethod):
    """Low-rank maps on q and v in every block (Hu et al., ICLR 2022; as in LIFT)."""

    @staticmethod
    def block_maps(shape: BackboneShape, rank: int, generator: torch.Generator) -> nn.Module:
        return AttentionLora(shape.width, rank, generator)


METHOD = Lora

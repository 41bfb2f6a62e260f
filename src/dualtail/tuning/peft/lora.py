"""LoRA on the queries and values of the attention."""

import torch
from open_clip.transformer import VisionTransformer
from torch import nn

from dualtail.tuning.attention import OpenAttention
from dualtail.tuning.backbone import BackboneShape
from dualtail.tuning.peft.bottleneck import bottleneck_width
from dualtail.tuning.peft.low_rank import LowRank
from dualtail.tuning.peft.method import PeftMethod
from dualtail.tuning.settings import LoraOptions


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


class Lora(PeftMethod):
    """Low-rank maps on q and v in every block (Hu et al., ICLR 2022; as in LIFT)."""

    Options = LoraOptions

    def __init__(
        self,
        shape: BackboneShape,
        n_classes: int,
        options: LoraOptions,
        generator: torch.Generator,
    ) -> None:
        super().__init__(shape, n_classes, options, generator)
        rank = bottleneck_width(options.rank, n_classes, shape.layers)
        self.blocks = nn.ModuleList(
            AttentionLora(shape.width, rank, generator) for _ in shape.last_blocks(options.blocks)
        )

    def attach(self, visual: VisionTransformer) -> None:
        for lora, block in self.pair_with_last_blocks(self.blocks, visual):
            lora.attach(block)  # type: ignore[operator]


METHOD = Lora

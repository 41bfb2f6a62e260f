"""LoRA on the two layers of the FFN."""

import torch
from open_clip.transformer import VisionTransformer
from torch import nn

from dualtail.tuning.backbone import BackboneShape
from dualtail.tuning.peft.bottleneck import bottleneck_width
from dualtail.tuning.peft.low_rank import LowRank
from dualtail.tuning.peft.method import PeftMethod
from dualtail.tuning.settings import LoraOptions


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


class LoraFfn(PeftMethod):
    """Low-rank maps on both layers of the FFN of every block (Hu et al., ICLR 2022)."""

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
            FfnLora(shape, rank, generator) for _ in shape.last_blocks(options.blocks)
        )

    def attach(self, visual: VisionTransformer) -> None:
        for lora, block in self.pair_with_last_blocks(self.blocks, visual):
            lora.attach(block)  # type: ignore[operator]


METHOD = LoraFfn

"""VPT-deep: prompts of their own for every block."""

import math

import torch
from torch import nn

from dualtail.foundation.vision import VisionTower
from dualtail.tuning.backbone import BackboneShape
from dualtail.tuning.peft.method import PeftMethod
from dualtail.tuning.peft_options.vpt_deep import Options as OwnOptions


class BlockPrompts(nn.Module):
    """Prompts (n, D) appended to the sequence of one block and dropped after it.

    What a prompt token would become inside the block is thrown away with it, so all that the other
    tokens see of it is a key and a value. The prompts therefore join at the attention, through the
    block's own `ln_1`, and their queries and FFN are never computed.
    """

    def __init__(self, n_prompts: int, shape: BackboneShape, generator: torch.Generator) -> None:
        super().__init__()
        height, width = shape.patch_size
        bound = math.sqrt(6 / (3 * height * width + shape.width))
        self.prompts = nn.Parameter(torch.empty(n_prompts, shape.width))
        nn.init.uniform_(self.prompts, -bound, bound, generator=generator)
        self._normed: torch.Tensor | None = None

    def attach(self, block: nn.Module) -> None:
        """Make the attention of `block` see the prompts."""
        block.get_submodule("ln_1").register_forward_hook(self._norm_prompts)
        block.get_submodule("attn").register_forward_pre_hook(self._append)

    def _norm_prompts(
        self, norm: nn.Module, args: tuple[torch.Tensor, ...], _output: torch.Tensor
    ) -> None:
        # norm.forward, not norm(): the hook must not call itself.
        self._normed = norm.forward(self.prompts.to(args[0].dtype))

    def _append(
        self, _module: nn.Module, args: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, ...]:
        normed, self._normed = self._normed, None
        assert normed is not None, "attn ran before ln_1"
        query, key, *rest = args
        tokens = torch.cat([key, normed.expand(len(key), -1, -1)], dim=1)
        # One object as key and value: nn.MultiheadAttention then projects both in one product.
        return query, tokens, tokens, *rest[1:]


class VptDeep(PeftMethod):
    """`BlockPrompts` in every block (Jia et al., Visual Prompt Tuning, ECCV 2022; as in LIFT)."""

    Options = OwnOptions

    def __init__(
        self,
        shape: BackboneShape,
        n_classes: int,
        options: OwnOptions,
        generator: torch.Generator,
    ) -> None:
        super().__init__(shape, n_classes, options, generator)
        self.blocks = nn.ModuleList(
            BlockPrompts(options.prompts, shape, generator)
            for _ in shape.last_blocks(options.blocks)
        )

    def attach(self, visual: VisionTower) -> None:
        for prompts, block in self.pair_with_last_blocks(self.blocks, visual):
            assert isinstance(prompts, BlockPrompts)
            prompts.attach(block)


METHOD = VptDeep

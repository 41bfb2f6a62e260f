"""The same tower from faster parts."""

from typing import cast

from open_clip.transformer import QuickGELU, ResidualAttentionBlock, VisionTransformer
from torch import nn

from dualtail.tuning.activation import QuickGelu
from dualtail.tuning.attention import PackedAttention
from dualtail.tuning.linear import FrozenLinear


def use_fast_parts(visual: VisionTransformer) -> None:
    """Replace attention, linear layers and QuickGELU of every block by faster ones, in place.

    The new parts have the names and the parameters of the old ones. The tower must be one that
    `BackboneShape.of` accepts, its weights frozen, its hooks not registered yet.
    """
    for block in cast(list[ResidualAttentionBlock], list(visual.transformer.resblocks)):
        attention = PackedAttention(block.attn)
        attention.out_proj = _linear(block.attn.out_proj)
        block.attn = attention  # type: ignore[assignment]
        for name, part in list(block.mlp.named_children()):
            if isinstance(part, nn.Linear):
                setattr(block.mlp, name, _linear(part))
            elif type(part) is QuickGELU:
                setattr(block.mlp, name, QuickGelu())


def _linear(linear: nn.Linear) -> FrozenLinear:
    return FrozenLinear(cast(nn.Parameter, linear.weight), cast("nn.Parameter | None", linear.bias))

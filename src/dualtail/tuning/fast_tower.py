"""The same tower from faster parts."""

from typing import cast

from torch import nn

from dualtail.foundation.vision import VisionTower
from dualtail.tuning.attention import PackedAttention
from dualtail.tuning.linear import FrozenLinear


def use_fast_parts(visual: VisionTower) -> None:
    """Replace attention and linear layers of every block by faster ones, in place.

    The new parts have the names and the parameters of the old ones. The weights must be frozen, hooks not
    registered yet.
    """
    for block in visual.blocks:
        attention = PackedAttention(block.attn)
        attention.out_proj = _linear(block.attn.out_proj)
        block.attn = attention  # type: ignore[assignment]
        for name, part in list(block.mlp.named_children()):
            if isinstance(part, nn.Linear):
                setattr(block.mlp, name, _linear(part))


def _linear(linear: nn.Linear) -> FrozenLinear:
    return FrozenLinear(cast(nn.Parameter, linear.weight), cast("nn.Parameter | None", linear.bias))

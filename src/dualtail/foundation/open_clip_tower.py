"""The vision tower of a model that open_clip has loaded, as ours."""

from collections import OrderedDict
from typing import cast

from torch import nn

from dualtail.errors import UserError
from dualtail.foundation.activation import QuickGelu
from dualtail.foundation.vision import Block, VisionTower, pair

FIX = "tuning works on open_clip's ViT models such as ViT-B-16: choose one of those"


def not_plain(visual: nn.Module) -> str:
    """Why a vision tower is none that `VisionTower` computes; "" if it is one."""
    if isinstance(visual, VisionTower):
        return ""
    from open_clip.transformer import ResidualAttentionBlock, VisionTransformer

    if not isinstance(visual, VisionTransformer):
        return f"the vision tower is a {type(visual).__name__}"
    if visual.attn_pool is not None or visual.pool_type != "tok":
        return "the vision tower does not pool by its CLS token"
    if not visual.transformer.batch_first or not all(
        type(block) is ResidualAttentionBlock and not hasattr(block, "ln_1_kv")
        for block in visual.transformer.resblocks
    ):
        return "the vision tower has custom blocks"
    return ""


def from_open_clip(visual: nn.Module) -> VisionTower:
    """Return the same tower with the same parameters, not copied; one of ours as it is.

    Raises:
        UserError: it is not a plain ViT whose feature is the CLS token.
    """
    reason = not_plain(visual)
    if reason:
        raise UserError(f"foundation model: {reason}; {FIX}")
    if isinstance(visual, VisionTower):
        return visual
    from open_clip.transformer import VisionTransformer

    assert isinstance(visual, VisionTransformer)
    return VisionTower(
        image_size=pair(visual.image_size),
        patch_size=pair(visual.patch_size),
        conv1=visual.conv1,
        class_embedding=visual.class_embedding,
        positional_embedding=visual.positional_embedding,
        ln_pre=visual.ln_pre,
        blocks=[_block(block) for block in visual.transformer.resblocks],
        ln_post=visual.ln_post,
        proj=visual.proj,
    ).train(visual.training)


def _block(block: nn.Module) -> Block:
    from open_clip.transformer import QuickGELU

    parts = {name: block.get_submodule(name) for name in ("ln_1", "ls_1", "ln_2", "ls_2")}
    layers = OrderedDict(
        (name, QuickGelu() if type(layer) is QuickGELU else layer)
        for name, layer in block.get_submodule("mlp").named_children()
    )
    return Block(
        **parts,
        attn=cast(nn.MultiheadAttention, block.get_submodule("attn")),
        mlp=nn.Sequential(layers),
    )

"""What the tuning methods need to know of a frozen backbone, and its forward pass up to CLS."""

from typing import Literal, cast

import torch
from pydantic import BaseModel, ConfigDict
from torch import nn

from dualtail.errors import UserError
from dualtail.foundation.vision import VisionTower


class BackboneShape(BaseModel):
    """Sizes of a vision tower; an adapter fits every backbone of the same shape."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int
    """feature width D"""
    layers: int
    """transformer blocks L"""
    heads: int
    """attention heads per block"""
    ffn_width: int
    """hidden width of a block's FFN"""
    patch_size: tuple[int, int]
    """height and width of a patch, pixels"""
    image_size: tuple[int, int]
    """height and width of an image, pixels"""

    @classmethod
    def of(cls, visual: VisionTower) -> "BackboneShape":
        """Read the shape off a vision tower."""
        first = visual.blocks[0]
        return cls(
            width=visual.class_embedding.shape[0],
            layers=len(visual.blocks),
            heads=first.attn.num_heads,
            ffn_width=cast(nn.Linear, first.mlp.get_submodule("c_fc")).out_features,
            patch_size=visual.patch_size,
            image_size=visual.image_size,
        )

    def last_blocks(self, blocks: int | Literal["all"]) -> range:
        """Indices of the last `blocks` blocks.

        Raises:
            UserError: there are not that many.
        """
        count = self.layers if blocks == "all" else blocks
        if count > self.layers:
            raise UserError(
                f"peft option blocks: {count}, but the vision tower has {self.layers} blocks"
            )
        return range(self.layers - count, self.layers)


def cls_feature(visual: VisionTower, images: torch.Tensor) -> torch.Tensor:
    """Return the CLS token after `ln_post`, before the projection.

    Of the last block only the CLS row is computed, because nothing reads the others: its
    attention still sees every token, but the query, the FFN and the adapter act on one row. On the
    world's three-block tower that makes tuning 1.3 times as fast. Hooks on the parts of a block
    (`ln_1`, `attn`, `ln_2`, `ls_2` ...) see every block; hooks on whole blocks miss the last.

    Args:
        visual: The tower.
        images: (B, 3, H, W), normalized, in the tower's dtype.

    Returns:
        (B, D) in the tower's dtype.
    """
    return cls_of_tokens(visual, last_tokens(visual, images))


def last_tokens(visual: VisionTower, images: torch.Tensor) -> torch.Tensor:
    """Return the tokens that enter the last block.

    Args:
        visual: The tower.
        images: (B, 3, H, W), normalized, in the tower's dtype.

    Returns:
        (B, 1 + h * w + n, D): CLS, the h x w patches row by row, n prompts of a tuning method.
    """
    tokens = visual.embed(images)
    for block in visual.blocks[:-1]:
        tokens = block(tokens)
    return tokens


def cls_of_tokens(visual: VisionTower, tokens: torch.Tensor) -> torch.Tensor:
    """Map `last_tokens` to the CLS token after `ln_post`, before the projection: (B, D)."""
    last = visual.blocks[-1]
    normed = last.ln_1(tokens)
    row = tokens[:, :1] + last.ls_1(last.attention(normed[:, :1], normed, normed))
    row = row + last.ls_2(last.mlp(last.ln_2(row)))
    return visual.pool(row)

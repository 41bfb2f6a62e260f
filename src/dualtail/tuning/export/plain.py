"""A tuned model in plain torch: a tower with open_clip's names, the few parts that cannot be merged, a head.

Nothing here knows of the methods of tuning; `merging` makes the tensors, `exported_file` stores them.
"""

from collections.abc import Mapping
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import nn

from dualtail.foundation.vision import TowerSizes, VisionTower

Tensors = Mapping[str, torch.Tensor]
Further = Literal["none", "adaptformer", "adapter", "vpt-deep", "vpt-shallow"]
"""What stands beside the tower: nothing (all is merged), or the tensors of such a method."""
Features = Literal["unit", "plain", "layer-norm"]
"""What the head makes of features first: length one, nothing, or a layer norm without gain and bias."""

LAYER_NORM_EPSILON = 1e-12


class Branch(nn.Module):
    """`up(relu(down(x)))`, (B, T, D) -> (B, T, D)."""

    def __init__(self, tensors: Tensors) -> None:
        super().__init__()
        self.down, self.up = (_linear(tensors, name) for name in ("down", "up"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.up(self.down(x).relu())


class Beside(nn.Module):
    """AdaptFormer: `ffn(x) + branch(x)`."""

    def __init__(self, ffn: nn.Module, branch: nn.Module) -> None:
        super().__init__()
        self.ffn, self.branch = ffn, branch

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.ffn(x) + self.branch(x)


class After(nn.Module):
    """Adapter: `h + branch(LN(h))`, h = ffn(x); LN has no gain and no bias."""

    def __init__(self, ffn: nn.Module, branch: nn.Module) -> None:
        super().__init__()
        self.ffn, self.branch = ffn, branch

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.ffn(x)
        return h + self.branch(F.layer_norm(h, h.shape[-1:]))


class Prompted(nn.Module):
    """VPT: a module with prompts appended to its tokens; `drop`: and taken away behind it."""

    def __init__(self, inner: nn.Module, prompts: torch.Tensor, drop: bool) -> None:
        super().__init__()
        self.inner, self.drop = inner, drop
        self.prompts = nn.Parameter(prompts)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        prompts = self.prompts.expand(tokens.shape[0], -1, -1)
        if not self.drop:
            return torch.cat([self.inner(tokens), prompts], dim=1)
        return self.inner(torch.cat([tokens, prompts], dim=1))[:, : tokens.shape[1]]


class PlainModel(nn.Module):
    """Normalized images (B, 3, H, W) -> logits (B, C) and features (B, D), float32.

    Args:
        sizes: Of the tower.
        tensors: `visual.*` with open_clip's names, `head.weight` (C, D), perhaps `head.bias`, and those of
            `further`: `adapter.K.down.weight` ... or `prompts.K` of block K, or `prompts`.
        further: What stands beside the tower.
        features: What the head makes of features first.
    """

    def __init__(
        self, sizes: TowerSizes, tensors: Tensors, further: Further, features: Features
    ) -> None:
        super().__init__()
        with torch.device("meta"):
            self.tower = VisionTower.of_sizes(sizes)
        self.tower.proj = None
        self.tower.load_state_dict(_part(tensors, "visual."), assign=True)
        self.head = _linear(_part(tensors, "head."))
        self.normalize: Features = features
        blocks = cast(nn.ModuleList, self.tower.transformer.resblocks)
        for k, block in enumerate(list(blocks)):
            adapter = _part(tensors, f"adapter.{k}.")
            if adapter:
                kind = Beside if further == "adaptformer" else After
                block.mlp = kind(cast(nn.Module, block.mlp), Branch(adapter))
            if f"prompts.{k}" in tensors:
                blocks[k] = Prompted(block, tensors[f"prompts.{k}"], drop=True)
        if "prompts" in tensors:
            self.tower.ln_pre = Prompted(self.tower.ln_pre, tensors["prompts"], drop=False)
        self.requires_grad_(False).eval()

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.tower(images.to(self.tower.class_embedding.dtype)).float()
        return self.head(self._normalized(features)), features

    def _normalized(self, features: torch.Tensor) -> torch.Tensor:
        if self.normalize == "unit":
            return F.normalize(features, dim=-1)
        if self.normalize == "layer-norm":
            return F.layer_norm(features, features.shape[-1:], eps=LAYER_NORM_EPSILON)
        return features


def _part(tensors: Tensors, prefix: str) -> dict[str, Any]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _linear(tensors: Tensors, name: str = "") -> nn.Linear:
    own = _part(tensors, f"{name}.") if name else dict(tensors)
    rows, columns = own["weight"].shape
    layer = nn.Linear(columns, rows, bias="bias" in own, device="meta")
    layer.load_state_dict(own, assign=True)
    return layer

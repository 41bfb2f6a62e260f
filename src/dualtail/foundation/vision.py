"""The vision tower that is tuned: a plain ViT with open_clip's names and arithmetic, by torch alone.

Importing open_clip takes longer than tuning a small model; whatever runs once per tuning works on this
tower instead. `tower_file` reads it from a checkpoint, `open_clip_tower` takes it out of a loaded model.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import nn

from dualtail.foundation.activation import QuickGelu

DEFAULTS: dict[str, Any] = {
    "layers": 12,
    "width": 768,
    "head_width": 64,
    "mlp_ratio": 4.0,
    "patch_size": 16,
    "image_size": 224,
    "ls_init_value": None,
    "no_ln_pre": False,
    # Neither changes the class token of a model that is evaluated.
    "patch_dropout": 0.0,
    "final_ln_after_pool": False,
}
"""What open_clip's `vision_cfg` may say of a tower that is built here."""


@dataclass(frozen=True)
class TowerSizes:
    """What decides the parameters and the arithmetic of a tower."""

    image_size: tuple[int, int]
    patch_size: tuple[int, int]
    width: int
    layers: int
    heads: int
    ffn_width: int
    embedding: int
    """width E of the space that images and texts share"""
    quick_gelu: bool = False
    layer_scale: bool = False
    pre_norm: bool = True


def tower_sizes(
    config: Mapping[str, Any], activation: Literal["native", "quickgelu"]
) -> TowerSizes | None:
    """Read a model config of open_clip; None if its tower has parts that are not built here."""
    if not {"embed_dim", "vision_cfg", "text_cfg"} <= config.keys():
        return None
    vision = DEFAULTS | config["vision_cfg"]
    counts = [config["embed_dim"], *(vision[key] for key in ("layers", "width", "head_width"))]
    if vision.keys() != DEFAULTS.keys() or not all(isinstance(n, int) for n in counts):
        return None
    width = vision["width"]
    return TowerSizes(
        image_size=pair(vision["image_size"]),
        patch_size=pair(vision["patch_size"]),
        width=width,
        layers=vision["layers"],
        heads=width // vision["head_width"],
        ffn_width=int(width * vision["mlp_ratio"]),
        embedding=config["embed_dim"],
        quick_gelu=activation == "quickgelu" or bool(config.get("quick_gelu", False)),
        layer_scale=vision["ls_init_value"] is not None,
        pre_norm=not vision["no_ln_pre"],
    )


def pair(size: Any) -> tuple[int, int]:
    """Height and width, from both or from one number."""
    height, width = (size, size) if isinstance(size, int) else size
    return int(height), int(width)


class Norm(nn.LayerNorm):
    """LayerNorm that keeps the dtype of its input."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        normed = F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)
        return normed.to(input.dtype)


class LayerScale(nn.Module):
    """`x * gamma`, feature by feature."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gamma


class Block(nn.Module):
    """`y = x + ls_1(attn(ln_1(x)))`, then `y + ls_2(mlp(ln_2(y)))`."""

    def __init__(
        self,
        *,
        ln_1: nn.Module,
        attn: nn.MultiheadAttention,
        ls_1: nn.Module,
        ln_2: nn.Module,
        mlp: nn.Sequential,
        ls_2: nn.Module,
    ) -> None:
        super().__init__()
        self.ln_1, self.attn, self.ls_1 = ln_1, attn, ls_1
        self.ln_2, self.mlp, self.ls_2 = ln_2, mlp, ls_2

    @classmethod
    def of_sizes(cls, sizes: TowerSizes) -> "Block":
        """A block with random weights."""
        width = sizes.width
        layers: list[tuple[str, nn.Module]] = [
            ("c_fc", nn.Linear(width, sizes.ffn_width)),
            ("gelu", QuickGelu() if sizes.quick_gelu else nn.GELU()),
            ("c_proj", nn.Linear(sizes.ffn_width, width)),
        ]
        return cls(
            ln_1=Norm(width),
            attn=nn.MultiheadAttention(width, sizes.heads, batch_first=True),
            ls_1=LayerScale(width) if sizes.layer_scale else nn.Identity(),
            ln_2=Norm(width),
            mlp=nn.Sequential(OrderedDict(layers)),
            ls_2=LayerScale(width) if sizes.layer_scale else nn.Identity(),
        )

    def attention(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """Attend: (B, Q, D), (B, T, D), (B, T, D) -> (B, Q, D)."""
        return self.attn(query, key, value, need_weights=False)[0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map tokens (B, T, D) to (B, T, D)."""
        normed = self.ln_1(x)
        x = x + self.ls_1(self.attention(normed, normed, normed))
        return x + self.ls_2(self.mlp(self.ln_2(x)))


class Transformer(nn.Module):
    """The blocks, one after the other."""

    def __init__(self, blocks: list[Block]) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(blocks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map tokens (B, T, D) to (B, T, D)."""
        for block in self.resblocks:
            x = block(x)
        return x


class VisionTower(nn.Module):
    """A ViT whose feature is its class token, for evaluation.

    Attributes:
        image_size, patch_size: Height and width, pixels.
        proj: (D, E), or None to leave the projection out.
    """

    proj: nn.Parameter | None

    def __init__(
        self,
        *,
        image_size: tuple[int, int],
        patch_size: tuple[int, int],
        conv1: nn.Conv2d,
        class_embedding: nn.Parameter,
        positional_embedding: nn.Parameter,
        ln_pre: nn.Module,
        blocks: list[Block],
        ln_post: nn.Module,
        proj: nn.Parameter | None,
    ) -> None:
        super().__init__()
        self.image_size, self.patch_size = image_size, patch_size
        self.conv1 = conv1
        self.class_embedding, self.positional_embedding = class_embedding, positional_embedding
        self.ln_pre = ln_pre
        self.transformer = Transformer(blocks)
        self.ln_post = ln_post
        self.proj = proj

    @classmethod
    def of_sizes(cls, sizes: TowerSizes) -> "VisionTower":
        """A tower whose weights mean nothing yet."""
        (height, width), (patch_height, patch_width) = sizes.image_size, sizes.patch_size
        patches = (height // patch_height) * (width // patch_width)
        return cls(
            image_size=sizes.image_size,
            patch_size=sizes.patch_size,
            conv1=nn.Conv2d(3, sizes.width, sizes.patch_size, sizes.patch_size, bias=False),
            class_embedding=nn.Parameter(torch.empty(sizes.width)),
            positional_embedding=nn.Parameter(torch.empty(patches + 1, sizes.width)),
            ln_pre=Norm(sizes.width) if sizes.pre_norm else nn.Identity(),
            blocks=[Block.of_sizes(sizes) for _ in range(sizes.layers)],
            ln_post=Norm(sizes.width),
            proj=nn.Parameter(torch.empty(sizes.width, sizes.embedding)),
        )

    @property
    def blocks(self) -> list[Block]:
        """The blocks, first to last."""
        return cast(list[Block], list(self.transformer.resblocks))

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Map normalized images (B, 3, H, W) to the tokens of the first block: (B, 1 + h * w, D)."""
        x = self.conv1(images).flatten(2).transpose(1, 2)
        start = self.class_embedding.expand(x.shape[0], 1, -1).to(x.dtype)
        x = torch.cat([start, x], dim=1) + self.positional_embedding.to(x.dtype)
        return self.ln_pre(x)

    def pool(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map tokens (B, T, D) to the normalized class token (B, D), before the projection."""
        return self.ln_post(tokens)[:, 0]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map normalized images (B, 3, H, W) to embeddings (B, E), or (B, D) without projection."""
        pooled = self.pool(self.transformer(self.embed(images)))
        return pooled if self.proj is None else pooled @ self.proj

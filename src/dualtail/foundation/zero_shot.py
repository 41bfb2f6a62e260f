"""Zero-shot classification: a head made from prompts."""

from collections.abc import Sequence
from typing import Any

import torch
from open_clip.transformer import VisionTransformer
from torch.nn import functional

from dualtail.tuning.backbone import cls_feature


def captions(template: str, class_names: Sequence[str]) -> list[str]:
    """Fill a template; underscores of class names become spaces."""
    return [template.replace("{}", name.replace("_", " ")) for name in class_names]


@torch.inference_mode()
def text_features(
    model: Any,
    tokenizer: Any,
    class_names: Sequence[str],
    templates: Sequence[str],
    batch_size: int = 256,
) -> torch.Tensor:
    """Encode every class: the normalized mean over templates of normalized text features.

    Returns:
        (C, E) float32 on the model's device, each row of length one.
    """
    device = next(model.parameters()).device
    total = torch.zeros(0)
    for template in templates:
        tokens = tokenizer(captions(template, class_names)).to(device)
        parts = [
            functional.normalize(model.encode_text(part).float(), dim=-1)
            for part in tokens.split(batch_size)
        ]
        features = torch.cat(parts)
        total = features if total.numel() == 0 else total + features
    return functional.normalize(total, dim=-1)


class ZeroShotModel(torch.nn.Module):
    """Logits = exp(logit_scale) * cos(image feature, text feature), as the model was trained.

    Args:
        model: An open_clip model; its vision tower is stored in the arithmetic's dtype.
        text: (C, E) normalized text features.
        dtype: Arithmetic of the vision tower.
    """

    text: torch.Tensor
    scale: torch.Tensor
    bias: torch.Tensor

    def __init__(self, model: Any, text: torch.Tensor, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.visual = model.visual.to(dtype)
        self.dtype = dtype
        self.pools_cls = isinstance(self.visual, VisionTransformer) and not (
            self.visual.attn_pool is not None or self.visual.pool_type != "tok"
        )
        bias = getattr(model, "logit_bias", None)
        self.register_buffer("text", text.detach().clone())
        self.register_buffer("scale", model.logit_scale.detach().float().exp())
        self.register_buffer("bias", torch.zeros(()) if bias is None else bias.detach().float())

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map normalized images (B, 3, H, W) to logits (B, C) and features (B, D), float32.

        Features are the CLS token before the projection, the same place that tuned models use; a tower
        without one (ResNet, attention pooling) gives its projected embedding.
        """
        pixels = images.to(self.dtype)
        if self.pools_cls:
            features = cls_feature(self.visual, pixels)
            projection = self.visual.proj
            embeddings = features if projection is None else features @ projection
        else:
            features = embeddings = self.visual(pixels)
        cosines = functional.normalize(embeddings.float(), dim=-1) @ self.text.T
        return self.scale * cosines + self.bias, features.float()

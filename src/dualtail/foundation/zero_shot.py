"""Zero-shot classification: a head made from prompts."""

import hashlib
import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from dualtail.errors import UserError
from dualtail.foundation.open_clip_tower import from_open_clip, not_plain
from dualtail.foundation.vision import VisionTower
from dualtail.tuning.backbone import cls_feature

_log = logging.getLogger(__name__)


@torch.inference_mode()
def text_features(
    model: Any,
    tokenizer: Any,
    texts: Sequence[Sequence[str]],
    batch_size: int = 256,
) -> torch.Tensor:
    """Encode every class: the normalized mean over its texts of normalized text features.

    Args:
        model: An open_clip model.
        texts: One or more texts for each of C classes.

    Returns:
        (C, E) float32 on the model's device, each row of length one.

    Raises:
        UserError: two classes whose texts differ only beyond the context of the text tower.
    """
    device = next(model.parameters()).device
    class_of = torch.tensor([c for c, own in enumerate(texts) for _ in own], device=device)
    tokens, cut = tokens_of(tokenizer, [text for own in texts for text in own])
    if cut:
        _log.warning(cut_in_words(cut, len(tokens), tokens.shape[1]))
    _refuse_alike(tokens, texts)
    parts = [
        functional.normalize(
            model.encode_text(tokens[start : start + batch_size].to(device).long()).float(), dim=-1
        )
        for start in range(0, len(tokens), batch_size)
    ]
    features = torch.cat(parts)
    total = features.new_zeros(len(texts), features.shape[1])
    return functional.normalize(total.index_add_(0, class_of, features), dim=-1)


def tokens_of(tokenizer: Any, texts: Sequence[str]) -> tuple[torch.Tensor, list[str]]:
    """Return the tokens (n, context) of texts, and the texts that fill the context and are cut."""
    blocks = [list(texts[start : start + 4096]) for start in range(0, len(texts), 4096)]
    tokens = torch.cat([tokenizer(block).int() for block in blocks])
    padding = getattr(getattr(tokenizer, "tokenizer", None), "pad_token_id", None) or 0
    full = torch.nonzero(tokens[:, -1] != padding).flatten().tolist()
    return tokens, [texts[int(row)] for row in full]


def cut_in_words(cut: Sequence[str], n_texts: int, context: int) -> str:
    """Say which prompts are cut."""
    longest = max(cut, key=len)
    return (
        f"{len(cut)} of {n_texts} prompts are longer than the {context} tokens that the text tower reads, "
        f"and are cut; the longest: {longest[:120]!r}"
    )


def _refuse_alike(tokens: torch.Tensor, texts: Sequence[Sequence[str]]) -> None:
    """Refuse classes that become equal because their texts are cut."""
    first: dict[bytes, Sequence[str]] = {}
    start = 0
    for own in texts:
        rows = hashlib.sha256(tokens[start : start + len(own)].numpy().data).digest()
        start += len(own)
        before = first.setdefault(rows, own)
        if list(before) != list(own):
            raise UserError(
                f"the text tower reads {before[0]!r} and {own[0]!r} alike (its context has "
                f"{tokens.shape[1]} tokens): shorten the class names or the prompts"
            )


class ZeroShotModel(torch.nn.Module):
    """Logits = exp(logit_scale) * cos(image feature, text feature), as the model was trained.

    SigLIP adds its logit_bias. It is the same for all classes, so it changes neither probabilities
    over classes, nor the prior q, nor what fusion of logits does.

    Args:
        model: An open_clip model or an `ImageModel`; its vision tower is stored in the arithmetic's
            dtype.
        text: (C, E) normalized text features.
        dtype: Arithmetic of the vision tower.
    """

    text: torch.Tensor
    scale: torch.Tensor
    bias: torch.Tensor

    def __init__(self, model: Any, text: torch.Tensor, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        visual = model.visual.to(dtype)
        self.visual = visual if not_plain(visual) else from_open_clip(visual)
        self.dtype = dtype
        bias = getattr(model, "logit_bias", None)
        self.register_buffer("text", text.detach().clone())
        self.register_buffer("scale", model.logit_scale.detach().float().exp())
        self.register_buffer("bias", torch.zeros(()) if bias is None else bias.detach().float())

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map normalized images (B, 3, H, W) to logits (B, C) and features (B, D), float32.

        Features are the CLS token before the projection, the same place that tuned models use; a tower
        without one (ResNet, timm's, attention or average pooling) gives its projected embedding.
        """
        pixels = images.to(self.dtype)
        if isinstance(self.visual, VisionTower):
            features = cls_feature(self.visual, pixels)
            projection = self.visual.proj
            embeddings = features if projection is None else features @ projection
        else:
            pooled = self.visual(pixels)
            # CoCa's tower gives its tokens, too.
            features = embeddings = pooled[0] if isinstance(pooled, tuple) else pooled
        cosines = functional.normalize(embeddings.float(), dim=-1) @ self.text.T
        return self.scale * cosines + self.bias, features.float()

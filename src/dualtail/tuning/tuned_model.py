"""A frozen backbone with trained parameters beside it and a trained head on top."""

import copy
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import nn

from dualtail.config.section import Section
from dualtail.errors import UserError
from dualtail.foundation.vision import VisionTower
from dualtail.tuning.backbone import BackboneShape, cls_feature
from dualtail.tuning.fast_tower import use_fast_parts
from dualtail.tuning.heads import Head
from dualtail.tuning.peft import parse_peft_options, peft_class
from dualtail.tuning.peft.method import PeftMethod

Precision = Literal["float32", "bfloat16", "float16"]
DTYPES: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


class TunedModel(nn.Module):
    """Backbone + PEFT + head: images -> (logits, features).

    The given tower is copied, so that it can be used again; the copy is frozen, in evaluation mode
    (patch dropout off) and stored in the arithmetic's dtype. PEFT and head stay float32.

    Attributes:
        shape: Sizes of the backbone.
        backbone: The frozen copy, without projection.
        peft: The trained parameters beside it.
        head: The trained classifier.
    """

    def __init__(
        self, visual: VisionTower, peft: PeftMethod, head: Head, precision: Precision
    ) -> None:
        """Join the parts.

        Args:
            visual: The foundation model's vision tower.
            peft: A method built for this shape, not attached to any tower yet.
            head: (C, D) classifier.
            precision: Arithmetic of the backbone.

        Raises:
            UserError: the head's width differs.
        """
        super().__init__()
        self.shape = BackboneShape.of(visual)
        if head.weight.shape[1] != self.shape.width:
            raise UserError(
                f"the head takes features of width {head.weight.shape[1]}, "
                f"the backbone gives {self.shape.width}"
            )
        backbone = copy.deepcopy(visual)
        backbone.proj = None
        self.backbone = backbone.to(DTYPES[precision]).requires_grad_(False)
        use_fast_parts(self.backbone)
        self.precision: Precision = precision
        device = self.backbone.class_embedding.device
        self.peft = peft.to(device)
        self.head = head.to(device)
        self.peft.attach(self.backbone)
        self.train(False)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.head.weight.device

    def train(self, mode: bool = True) -> "TunedModel":
        """Set the mode of PEFT and head; the backbone always stays in evaluation mode."""
        super().train(mode)
        self.backbone.eval()
        return self

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Map normalized images (B, 3, H, W) to features (B, D), float32."""
        pixels = images.to(DTYPES[self.precision])
        return cls_feature(self.backbone, pixels).to(self.head.weight.dtype)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map normalized images (B, 3, H, W) to logits (B, C) and features (B, D), float32."""
        features = self.features(images)
        return self.head(features), features


def build_peft(
    name: str,
    options: Section | Mapping[str, Any],
    shape: BackboneShape,
    n_classes: int,
    seed: int,
) -> PeftMethod:
    """Create a method's parameters; the seed fixes them.

    Raises:
        UserError: unknown method or option.
    """
    if not isinstance(options, Section):
        options = parse_peft_options(name, options)
    generator = torch.Generator().manual_seed(seed)
    return peft_class(name)(shape, n_classes, options, generator)


def build_tuned_model(
    visual: VisionTower,
    head: Head,
    *,
    peft: str,
    peft_options: Section | Mapping[str, Any],
    precision: Precision,
    seed: int,
) -> TunedModel:
    """Build a model that is ready to be tuned.

    Args:
        visual: The foundation model's vision tower; left as it is.
        head: (C, D) classifier; see `head_start` for its weights.
        peft: Name of the method, or `path/to/file.py:Class`.
        peft_options: Its options; missing ones take their defaults.
        precision: Arithmetic of the backbone.
        seed: Fixes the initial parameters.

    Raises:
        UserError: unknown method or option, a head of another width.
    """
    shape = BackboneShape.of(visual)
    method = build_peft(peft, peft_options, shape, head.n_classes, seed)
    method.start_from(visual)
    return TunedModel(visual, method, head, precision)


def trained_parameters(model: nn.Module) -> int:
    """Count the numbers that training changes; of `model.peft`: those besides the head."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)

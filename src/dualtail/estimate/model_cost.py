"""What one image costs each model of a study, counted on models without weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from dualtail.foundation.loading import embedding_width, empty_foundation
from dualtail.foundation.open_clip_tower import from_open_clip
from dualtail.foundation.spec import FoundationSpec
from dualtail.foundation.vision import VisionTower
from dualtail.foundation.zero_shot import ZeroShotModel
from dualtail.tuning.backbone import BackboneShape
from dualtail.tuning.cost import forward_gflops
from dualtail.tuning.heads import build_head
from dualtail.tuning.settings import HeadSettings
from dualtail.tuning.tuned_model import build_tuned_model, trained_parameters


@dataclass(frozen=True)
class ModelCost:
    """One model.

    Attributes:
        gflops: Of the forward pass of one image (two operations for each multiply-add).
        parameters: Numbers that tuning trains, PEFT and head; 0 for zero-shot.
        width: Width of the features that its dumps hold.
    """

    gflops: float
    parameters: int
    width: int


def zero_shot_cost(spec: FoundationSpec, n_classes: int) -> ModelCost:
    """Cost of a foundation model as it is, class texts not counted.

    Raises:
        UserError: unknown architecture.
    """
    foundation, side = empty_foundation(spec), spec.transform.crop
    embed = embedding_width(spec)
    model = ZeroShotModel(foundation, torch.empty(n_classes, embed, device="meta"))
    width = embed
    if isinstance(model.visual, VisionTower):
        width = BackboneShape.of(model.visual).width
    return ModelCost(forward_gflops(model, (side, side)), 0, width)


def tuned_cost(
    spec: FoundationSpec,
    method: str,
    options: Mapping[str, Any],
    head: HeadSettings,
    n_classes: int,
) -> ModelCost:
    """Cost of a foundation model with a PEFT method and a head of C classes.

    Raises:
        UserError: unknown architecture or method, or a tower that cannot be tuned.
    """
    foundation, side = empty_foundation(spec), spec.transform.crop
    visual = from_open_clip(foundation.get_submodule("visual"))
    width = BackboneShape.of(visual).width
    model = build_tuned_model(
        visual,
        build_head(head.type, torch.empty(n_classes, width, device="meta"), head.scale),
        peft=method,
        peft_options=options,
        precision="bfloat16",
        seed=0,
    ).to("meta")
    return ModelCost(forward_gflops(model, (side, side)), trained_parameters(model), width)

"""Classifiers on top of the features, by the names of `settings.HeadType` (LIFT's four)."""

import torch

from dualtail.tuning.heads.cosine import CosineHead
from dualtail.tuning.heads.l2_norm import L2NormHead
from dualtail.tuning.heads.layer_norm import LayerNormHead
from dualtail.tuning.heads.linear import LinearHead
from dualtail.tuning.heads.method import Head
from dualtail.tuning.settings import HeadType

__all__ = [
    "HEADS",
    "CosineHead",
    "Head",
    "L2NormHead",
    "LayerNormHead",
    "LinearHead",
    "build_head",
    "head_type",
]

HEADS: dict[HeadType, type[Head]] = {
    "cosine": CosineHead,
    "linear": LinearHead,
    "l2-norm": L2NormHead,
    "layer-norm": LayerNormHead,
}


def build_head(kind: HeadType, weight: torch.Tensor, scale: float) -> Head:
    """Build a head that starts from `weight` (C, D); `scale` is the cosine head's."""
    return CosineHead(weight, scale) if kind == "cosine" else HEADS[kind](weight)


def head_type(head: Head) -> HeadType:
    """The name of a head's class."""
    return next(name for name, kind in HEADS.items() if type(head) is kind)

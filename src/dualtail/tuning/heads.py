"""The classifier on top of the features."""

import torch
import torch.nn.functional as F
from torch import nn

from dualtail.errors import UserError


class CosineHead(nn.Module):
    """`logits = scale * norm(x) @ norm(W).T`, W (C, D) trained, the scale fixed."""

    def __init__(self, weight: torch.Tensor, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().clone().float())
        self.scale = scale

    @classmethod
    def from_text(
        cls, text_features: torch.Tensor, proj: torch.Tensor | None, scale: float
    ) -> "CosineHead":
        """Start from the class names: text features mapped back through the visual projection.

        Args:
            text_features: (C, E), one row a class, any length.
            proj: (D, E) of the vision tower; None if the tower has none (then D = E).
            scale: Factor of the cosine (25 in the paper).

        Raises:
            UserError: widths do not match, or a class has no usable text feature.
        """
        text = text_features.detach().float()
        if proj is not None:
            if text.ndim != 2 or text.shape[1] != proj.shape[1]:
                raise UserError(
                    f"text features {tuple(text.shape)} do not fit a projection to width "
                    f"{proj.shape[1]}: both must come from the same foundation model"
                )
            text = text @ proj.detach().float().to(text.device).T
        lengths = text.norm(dim=1)
        bad = (~(lengths.isfinite() & (lengths > 0))).nonzero().flatten().tolist()
        if bad:
            raise UserError(f"text features of class {bad[0]} are zero or not finite")
        return cls(text / lengths[:, None], scale)

    @property
    def n_classes(self) -> int:
        return self.weight.shape[0]

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map (B, D) features to (B, C) logits."""
        return self.scale * F.linear(
            F.normalize(features, dim=-1), F.normalize(self.weight, dim=-1)
        )

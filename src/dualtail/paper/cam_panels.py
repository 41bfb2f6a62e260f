"""Panels of pictures with Grad-CAM maps over them (Fig. 4 and 10)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dualtail.explain.examples import Examples
from dualtail.paper.context import PaperContext

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

COLORMAP = "inferno"
OPACITY = 0.6
LOSSES = ("ce", "la")
TIGHT = {"w_pad": 0.02, "h_pad": 0.02, "wspace": 0.02, "hspace": 0.02}
"""Padding of constrained layout between pictures, inches and shares of a picture."""
LABELS = 0.3
"""Width of the names beside the rows, inches."""


@dataclass(frozen=True)
class Column:
    """One column of maps: whose, and what stands above it."""

    title: str
    subtitle: str
    shown: dict[str, Any]

    @property
    def heading(self) -> str:
        return f"{self.title}\n{self.subtitle}"


def columns_of(context: PaperContext, examples: Examples) -> list[Column]:
    """Return CE and LA of every member, then the fused LA models if there are maps of them."""
    tuning = context.first_tuning
    found = [
        Column(label, loss.upper(), {"members": member, "loss": loss} | tuning)
        for member, label in context.members.items()
        for loss in LOSSES
    ]
    fused = {"members": "+".join(context.members), "loss": "la", "fusion": "logits"} | tuning
    if any(entry.members == fused["members"] and entry.fusion for entry in examples.header.mapped):
        found.append(Column("Fused", "LA", fused))
    return found


def draw_titles(axes: "Sequence[Axes]", columns: Sequence[Column]) -> None:
    """Write what is shown above the first row."""
    for ax, title in zip(axes, ["image", *(c.heading for c in columns)], strict=True):
        ax.set_title(title)


def row_label(examples: Examples, row: int) -> str:
    """Return the class of an image, a word a line."""
    return f"“{examples.header.class_names[row]}”".replace(" ", "\n")


def draw_row(
    axes: "Sequence[Axes]", examples: Examples, row: int, columns: Sequence[Column]
) -> None:
    """Draw one image: the picture, then the picture under every map."""
    picture = examples.pictures[row, 0]
    for ax in axes:
        ax.set_xticks([])
        ax.set_yticks([])
        for spine in ax.spines.values():
            spine.set_visible(False)
    axes[0].imshow(picture)
    for ax, column in zip(axes[1:], columns, strict=True):
        # Under the map the picture is gray, so that its colors are not taken for heat.
        gray = picture @ np.array([0.299, 0.587, 0.114])
        ax.imshow(gray, cmap="gray", vmin=0, vmax=255)
        heat = examples.map_of(**column.shown)[row]
        ax.imshow(heat, cmap=COLORMAP, alpha=OPACITY, vmin=0, vmax=1)


def row_data(
    examples: Examples, dataset: str, row: int, columns: Sequence[Column]
) -> list[dict[str, Any]]:
    """Return a line a map: whose, of which image, its confidence, and the map's center of mass."""
    found = []
    for column in columns:
        heat = examples.map_of(**column.shown)[row]
        confidence = examples.confidence(**column.shown)[row, 0]
        found.append(
            {
                "panel": "maps",
                "dataset": dataset,
                "image": examples.header.images[row],
                "class_name": examples.header.class_names[row],
                "model": column.title,
                "loss": column.subtitle,
                "region": "",
                "confidence": float(confidence),
                "center_x": _center(heat, 1),
                "center_y": _center(heat, 0),
            }
        )
    return found


def share_data(context: PaperContext, dataset: str) -> "pd.DataFrame":
    """Return the shares of the maps' regions on one dataset, those of the columns drawn; empty if unknown."""
    import pandas as pd

    rows = context.grad_cam
    if rows is None:
        return pd.DataFrame()
    tuning = context.first_tuning
    return rows[
        (rows["dataset"] == dataset)
        & (rows["peft"] == tuning["peft"])
        & (rows["seed"] == tuning["seed"])
        & rows["loss"].isin(LOSSES)
    ]


def _center(heat: np.ndarray, axis: int) -> float:
    """Center of mass along an axis, 0..1 from the top or left; NaN of an empty map."""
    profile = heat.sum(axis=1 - axis)
    total = profile.sum()
    positions = (np.arange(profile.size) + 0.5) / profile.size
    return float(profile @ positions / total) if total > 0 else float("nan")

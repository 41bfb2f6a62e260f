"""Panels of pictures with Grad-CAM maps over them (Fig. 4 and 10)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dualtail.explain.examples import Examples
from dualtail.paper.context import PaperContext
from dualtail.paper.style import DOUBLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORMAP = "inferno"
OPACITY = 0.6
TIGHT = {"w_pad": 0.02, "h_pad": 0.02, "wspace": 0.02, "hspace": 0.02}
"""Padding of constrained layout between pictures, inches and shares of a picture."""
LABELS = 0.3
"""Width of the names beside the rows, inches."""
LARGEST = 1.1
"""Side of a picture where there are few columns, inches."""


class Column(NamedTuple):
    """One column of maps: whose, and what stands above it."""

    model: str
    loss: str
    shown: dict[str, Any]

    @property
    def heading(self) -> str:
        return f"{self.model}\n{self.loss}"


def columns_of(context: PaperContext, examples: Examples) -> list[Column]:
    """Return CE and LA of every member, then the fused LA models if there are maps of them."""
    tuning = context.first_tuning
    found = [
        Column(label, loss.upper(), {"members": member, "loss": loss} | tuning)
        for member, label in context.members.items()
        for loss in ("ce", "la")
    ]
    fused = {"members": "+".join(context.members), "loss": "la", "fusion": "logits"} | tuning
    if any(entry.members == fused["members"] and entry.fusion for entry in examples.header.mapped):
        found.append(Column("Fused", "LA", fused))
    return found


def sizes_of(columns: Sequence[Column], beside: float = 0) -> tuple[float, float]:
    """Return the side of a picture and the width of the figure, inches, of which so much is beside them."""
    side = min(LARGEST, (DOUBLE - LABELS - beside) / (len(columns) + 1))
    return side, LABELS + side * (len(columns) + 1) + beside


def bare(ax: "Axes") -> None:
    """Leave nothing of axes but the picture."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)


def draw_rows(
    axes: Any, context: PaperContext, rows: Sequence[tuple[str, int]], columns: Sequence[Column]
) -> list[dict[str, Any]]:
    """Draw a line of `axes` for each (dataset, example): the picture, then it under every map.

    Returns:
        A line a map: whose, of which image, its confidence, and the map's center of mass.
    """
    data = []
    for line, (dataset, row) in zip(axes, rows, strict=True):
        examples = context.examples_of(dataset)
        header, picture = examples.header, examples.pictures[row, 0]
        # Under the map the picture is gray, so that its colors are not taken for heat.
        gray = picture @ np.array([0.299, 0.587, 0.114])
        line[0].imshow(picture)
        line[0].set_ylabel(f"“{header.class_names[row]}”".replace(" ", "\n"))
        for ax, column in zip(line[1:], columns, strict=True):
            heat = examples.map_of(**column.shown)[row]
            ax.imshow(gray, cmap="gray", vmin=0, vmax=255)
            ax.imshow(heat, cmap=COLORMAP, alpha=OPACITY, vmin=0, vmax=1)
            about = {"panel": "maps", "dataset": dataset, "image": header.images[row]}
            about |= {"class_name": header.class_names[row], "model": column.model}
            confidence = float(examples.confidence(**column.shown)[row, 0])
            about |= {"loss": column.loss, "region": "", "confidence": confidence}
            data.append(about | {"center_x": _center(heat, 1), "center_y": _center(heat, 0)})
        for ax in line:
            bare(ax)
    for ax, title in zip(axes[0], ["image", *(c.heading for c in columns)], strict=True):
        ax.set_title(title)
    return data


def _center(heat: np.ndarray, axis: int) -> float:
    """Center of mass along an axis, 0..1 from the top or left; NaN of an empty map."""
    profile = heat.sum(axis=1 - axis)
    total = profile.sum()
    positions = (np.arange(profile.size) + 0.5) / profile.size
    return float(profile @ positions / total) if total > 0 else float("nan")

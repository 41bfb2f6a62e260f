"""Drawn diagrams: boxes and arrows in inches, and the table that says the same (Fig. 1 and 5)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.style import BLACK

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FILLS = 0.16
"""Opacity of a box's fill in its color: black text stays readable on it, in gray print too."""
INK = 0.7
"""Brightness of text beside an arrow, as a share of the arrow's."""
BARS = 40
"""Most bars in a small picture of a prior: classes are averaged in runs of equal length."""


@dataclass(frozen=True)
class Node:
    """A box with text, which may have several lines and math; its center and size in inches."""

    name: str
    text: str
    x: float
    y: float
    width: float = 0
    height: float = 0
    color: str = ""
    """of the frame, the bars and, lighter, the fill; empty: text alone"""
    round: bool = False
    """an ellipse"""
    size: float = 7
    """of the text, points"""
    bars: tuple[float, ...] = ()
    """drawn in the box from left to right"""
    back: bool = False
    """behind the arrows"""


@dataclass(frozen=True)
class Edge:
    """An arrow between two nodes."""

    source: str
    target: str
    text: str = ""
    """stands beside its middle"""
    color: str = BLACK
    dashed: bool = False
    cut: bool = False
    """a cross marks that an intervention removes it"""
    shift: tuple[float, float] = (0.0, 0.0)
    """of the text from the middle, inches"""


@dataclass(frozen=True)
class Panel:
    """A diagram and its size in inches."""

    name: str
    width: float
    height: float
    nodes: Sequence[Node]
    edges: Sequence[Edge]


def prior_bars(lookup: ScoreLookup, dataset: str, member: str) -> tuple[float, ...]:
    """Return the estimated q of a member, descending, as bars; none if it was not estimated."""
    prior = lookup.context.priors.get((dataset, member))
    return () if prior is None else _bars(prior["q"].to_numpy(float))


def count_bars(lookup: ScoreLookup, dataset: str) -> tuple[float, ...]:
    """Return the training images per class, descending, as bars; none if they are unknown."""
    rows = lookup.per_class.query("dataset == @dataset").drop_duplicates("class_index")
    return _bars(rows["train_count"].dropna().to_numpy(float))


def _bars(values: np.ndarray) -> tuple[float, ...]:
    parts = np.array_split(np.sort(values)[::-1], max(1, min(BARS, values.size)))
    return tuple(float(part.mean()) for part in parts if part.size)


def draw_diagram(
    figure: "Figure", corner: tuple[float, float], panel: Panel, title: str = ""
) -> None:
    """Draw arrows, then boxes over their ends, in a part of a figure.

    Args:
        corner: The lower left one of the part, inches.
    """
    figure.set_layout_engine("none")
    unit = 1 / figure.get_size_inches()
    ax = figure.add_axes((*(corner * unit), *((panel.width, panel.height) * unit)))
    ax.set(xlim=(0, panel.width), ylim=(0, panel.height), aspect="equal")
    ax.set_axis_off()
    ax.text(0.06, panel.height - 0.16, title, va="center", fontsize=8)
    patches = {node.name: _draw_node(ax, node) for node in panel.nodes}
    at = {node.name: (node.x, node.y) for node in panel.nodes}
    for edge in panel.edges:
        _draw_edge(ax, edge, at, patches)


def _draw_node(ax: "Axes", node: Node):
    """Draw a box with its bars and text; return its outline."""
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Ellipse, FancyBboxPatch

    left, bottom = node.x - node.width / 2, node.y - node.height / 2
    if node.round:
        patch = Ellipse((node.x, node.y), node.width, node.height)
    else:
        style = f"round,pad=0,rounding_size={min(0.08, node.height / 4)}"
        patch = FancyBboxPatch((left, bottom), node.width, node.height, boxstyle=style)
    if node.color:
        fill = [1 - FILLS * (1 - channel) for channel in to_rgb(node.color)]
        order = 0 if node.back else 2
        patch.set(facecolor=fill, edgecolor=node.color, linewidth=1.1, zorder=order)
        ax.add_patch(patch)
    if node.bars:
        heights = np.array(node.bars) / max(node.bars)
        edges = left + node.width * np.linspace(0.06, 0.94, heights.size + 1)
        floor = bottom + 0.08 * node.height
        tops = floor + 0.84 * node.height * heights
        ax.stairs(tops, edges, baseline=floor, fill=True, color=node.color, zorder=3)
    style = {"ha": "center", "va": "center", "fontsize": node.size, "zorder": 4}
    ax.text(node.x, node.y, node.text, **style)
    return patch


def _draw_edge(ax: "Axes", edge: Edge, at: dict, patches: dict) -> None:
    from matplotlib.colors import to_rgb
    from matplotlib.patches import FancyArrowPatch

    start, end = at[edge.source], at[edge.target]
    arrow = FancyArrowPatch(
        start,
        end,
        arrowstyle="-|>",
        mutation_scale=9,
        linewidth=1.3,
        linestyle=(0, (4, 2)) if edge.dashed else "-",
        color=edge.color,
        patchA=patches[edge.source],
        patchB=patches[edge.target],
        shrinkA=1,
        shrinkB=1,
        zorder=1,
    )
    ax.add_patch(arrow)
    x, y = np.mean([start, end], axis=0)
    if edge.cut:
        ax.plot(x, y, marker="x", ms=9, mew=2, color=edge.color, zorder=3)
    ink = [INK * channel for channel in to_rgb(edge.color)]
    style = {"ha": "center", "va": "center", "fontsize": 7, "color": ink, "zorder": 4}
    ax.text(x + edge.shift[0], y + edge.shift[1], edge.text, **style)


def diagram_data(*panels: Panel) -> "pd.DataFrame":
    """Return a row per node, a row per edge and, of the panel named as its node, a row per bar."""
    import pandas as pd

    rows: list[dict] = []
    for panel in panels:
        rows += [{"panel": panel.name, "kind": "node"} | asdict(node) for node in panel.nodes]
        rows += [{"panel": panel.name, "kind": "edge"} | asdict(edge) for edge in panel.edges]
        for node in panel.nodes:
            bars = enumerate(node.bars)
            rows += [{"panel": node.name, "kind": "bar", "x": k, "y": y} for k, y in bars]
    columns = ["panel", "kind", "name", "text", "x", "y", "source", "target", "dashed", "cut"]
    return pd.DataFrame(rows, columns=columns)

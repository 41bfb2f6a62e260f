"""Drawn diagrams: boxes and arrows in inches, and the table that says the same (Fig. 1 and 5)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from dualtail.paper.style import BLACK

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

FILLS = 0.16
"""Opacity of a box's fill in its color: black text stays readable on it, in gray print too."""


@dataclass(frozen=True)
class Node:
    """A box with text, which may have several lines and math; its center and size in inches."""

    name: str
    text: str
    x: float
    y: float
    width: float
    height: float
    color: str = BLACK
    """of the frame and, lighter, the fill; empty: text alone"""
    round: bool = False
    """an ellipse"""
    size: float = 8
    """of the text, points"""


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


def canvas(ax: "Axes", width: float, height: float) -> None:
    """Make the data units of axes inches and hide everything else."""
    ax.set_xlim(0, width)
    ax.set_ylim(0, height)
    ax.set_aspect("equal")
    ax.set_axis_off()


def draw_diagram(ax: "Axes", nodes: Sequence[Node], edges: Sequence[Edge]) -> None:
    """Draw arrows, then boxes over their ends."""
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Ellipse, FancyArrowPatch, FancyBboxPatch

    patches = {}
    for node in nodes:
        if node.round:
            patch = Ellipse((node.x, node.y), node.width, node.height)
        else:
            corner = (node.x - node.width / 2, node.y - node.height / 2)
            style = f"round,pad=0,rounding_size={min(0.08, node.height / 4)}"
            patch = FancyBboxPatch(corner, node.width, node.height, boxstyle=style)
        if node.color:
            fill = _on_white(to_rgba(node.color), FILLS)
            patch.set(facecolor=fill, edgecolor=node.color, linewidth=1.1, zorder=2)
            ax.add_patch(patch)
        patches[node.name] = patch
        text = ax.text(node.x, node.y, node.text, ha="center", va="center", fontsize=node.size)
        text.set_zorder(4)
    at = {node.name: node for node in nodes}
    for edge in edges:
        start, end = at[edge.source], at[edge.target]
        arrow = FancyArrowPatch(
            (start.x, start.y),
            (end.x, end.y),
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
        x, y = (start.x + end.x) / 2, (start.y + end.y) / 2
        if edge.cut:
            ax.plot(x, y, marker="x", ms=9, mew=2, color=edge.color, zorder=3)
        if edge.text:
            dx, dy = edge.shift
            label = ax.text(x + dx, y + dy, edge.text, ha="center", va="center", fontsize=7)
            label.set(color=edge.color, zorder=4)


def diagram_data(panel: str, nodes: Sequence[Node], edges: Sequence[Edge]) -> "pd.DataFrame":
    """Return a row a node and a row an edge."""
    import pandas as pd

    rows = [{"panel": panel, "kind": "node", **_fields(node)} for node in nodes]
    rows += [{"panel": panel, "kind": "edge", **_fields(edge)} for edge in edges]
    columns = ["panel", "kind", "name", "text", "x", "y", "source", "target", "dashed", "cut"]
    return pd.DataFrame(rows, columns=columns)


def _fields(item: Node | Edge) -> dict[str, object]:
    return {name: value for name, value in asdict(item).items() if name != "size"}


def _on_white(color: tuple[float, ...], opacity: float) -> tuple[float, ...]:
    return tuple(1 - opacity * (1 - channel) for channel in color[:3])

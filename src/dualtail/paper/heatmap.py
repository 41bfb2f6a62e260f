"""Nine-group heatmaps: D-groups across, P-groups down (Fig. 2 and 6)."""

from typing import TYPE_CHECKING

import numpy as np

from dualtail.bias.groups import D_GROUPS, P_GROUPS
from dualtail.paper.context import PaperContext
from dualtail.paper.lookup import Cell, Predictor, ScoreLookup

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage


def nine_groups(
    lookup: ScoreLookup, dataset: str, predictor: Predictor, metric: str = "accuracy"
) -> list[list[Cell]]:
    """Return the nine numbers, a row a P-group, a column a D-group.

    Raises:
        UserError: the scores lack one.
    """
    return [
        [lookup.get(dataset, predictor, metric, f"{d}/{p}") for d in D_GROUPS] for p in P_GROUPS
    ]


def tidy(
    panel: str, cells: list[list[Cell]], context: PaperContext, dataset: str
) -> "pd.DataFrame":
    """Return the numbers of one panel, a row a cell."""
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "dataset": context.datasets[dataset],
                "panel": panel,
                "p_group": p,
                "d_group": d,
                **cells[i][j]._asdict(),
            }
            for i, p in enumerate(P_GROUPS)
            for j, d in enumerate(D_GROUPS)
        ]
    )


def draw(
    axes: "Axes",
    cells: list[list[Cell]],
    *,
    title: str,
    limits: tuple[float, float],
    colormap: str,
    form: str = "{:.1f}",
    y_labels: bool = True,
) -> "AxesImage":
    """Draw one panel: color and number of every cell, below it half its 95 % interval."""
    import matplotlib as mpl

    values = np.array([[cell.value for cell in row] for row in cells])
    colors = mpl.colormaps[colormap].with_extremes(bad="#e8e8e8")
    image = axes.imshow(np.ma.masked_invalid(values), cmap=colors, vmin=limits[0], vmax=limits[1])
    shades = image.to_rgba(np.nan_to_num(values))
    for i, row in enumerate(cells):
        for j, cell in enumerate(row):
            if np.isnan(cell.value):
                axes.text(j, i, "no class", ha="center", va="center", fontsize=6, color="#555555")
                continue
            ink = _ink(shades[i, j])
            number = form.format(cell.value).replace("-", "\N{MINUS SIGN}")
            axes.text(j, i - 0.06, number, ha="center", va="center", fontsize=9, color=ink)
            if not np.isnan(cell.low):
                half = f"± {(cell.high - cell.low) / 2:.1f}"
                axes.text(j, i + 0.2, half, ha="center", va="center", fontsize=6, color=ink)
    axes.set_title(title)
    axes.set_xticks(range(len(D_GROUPS)), D_GROUPS)
    axes.set_yticks(range(len(P_GROUPS)), P_GROUPS if y_labels else [""] * len(P_GROUPS))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    # White lines between the cells.
    edges = np.arange(1, 3) - 0.5
    axes.hlines(edges, -0.5, 2.5, color="white", linewidth=1.5)
    axes.vlines(edges, -0.5, 2.5, color="white", linewidth=1.5)
    return image


def _ink(background: np.ndarray) -> str:
    """Return black or white, whichever contrasts more with the background (WCAG luminance)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in background[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "black" if luminance > 0.179 else "white"

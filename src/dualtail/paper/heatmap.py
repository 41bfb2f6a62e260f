"""Nine-group heatmaps: D-groups across, P-groups down (Fig. 2 and 6)."""

from typing import TYPE_CHECKING

import numpy as np

from dualtail.bias.groups import D_GROUPS, P_GROUPS
from dualtail.paper.context import PaperContext
from dualtail.paper.lookup import Cell, Predictor, ScoreLookup

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable


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
) -> "ScalarMappable":
    """Draw one panel: color and number of every cell, below it half its 95 % interval."""
    import seaborn as sns

    values = np.array([[cell.value for cell in row] for row in cells])
    numbers = [[_number(cell.value, form) for cell in row] for row in cells]
    sns.heatmap(
        values,
        ax=axes,
        mask=np.isnan(values),
        vmin=limits[0],
        vmax=limits[1],
        cmap=colormap,
        annot=np.array(numbers),
        fmt="",
        annot_kws={"fontsize": 9},
        linewidths=1.5,
        linecolor="white",
        square=True,
        cbar=False,
        xticklabels=D_GROUPS,
        yticklabels=P_GROUPS if y_labels else False,
    )
    # seaborn chose black or white for each number; the interval below takes the same.
    for text in list(axes.texts):
        x, y = text.get_position()
        cell = cells[int(y)][int(x)]
        text.set_y(y - 0.06)
        if not np.isnan(cell.low):
            half = f"± {(cell.high - cell.low) / 2:.1f}"
            style = {"ha": "center", "va": "center", "fontsize": 6}
            axes.text(x, y + 0.2, half, color=text.get_color(), **style)
    for i, j in np.argwhere(np.isnan(values)):
        style = {"ha": "center", "va": "center", "fontsize": 6, "color": "#555555"}
        axes.text(j + 0.5, i + 0.5, "no class", **style)
    axes.set_title(title)
    axes.tick_params(length=0, rotation=0)
    axes.set_facecolor("#e8e8e8")
    return axes.collections[0]


def _number(value: float, form: str) -> str:
    return "" if np.isnan(value) else form.format(value).replace("-", "\N{MINUS SIGN}")

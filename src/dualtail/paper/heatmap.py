"""Nine-group heatmaps: D-groups across, P-groups down (Fig. 2 and 6)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dualtail.bias.groups import D_GROUPS, P_GROUPS
from dualtail.paper.lookup import Predictor, ScoreLookup
from dualtail.scores.bootstrap import Estimate

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable

NineGroups = list[list[Estimate]]
"""A row a P-group, a column a D-group."""


def nine_groups(
    lookup: ScoreLookup, dataset: str, predictor: Predictor, metric: str = "accuracy"
) -> NineGroups:
    """Return the nine numbers.

    Raises:
        UserError: the scores lack one.
    """
    return [
        [lookup.get(dataset, predictor, metric, f"{d}/{p}") for d in D_GROUPS] for p in P_GROUPS
    ]


def range_of(groups: Sequence[Sequence[Estimate]]) -> tuple[float, float]:
    """Return the smallest and largest value; 0 and 100 if there is none."""
    known = [number.value for row in groups for number in row if number.value == number.value]
    return min(known, default=0.0), max(known, default=100.0)


def tidy(panel: str, groups: NineGroups, dataset: str) -> "pd.DataFrame":
    """Return the numbers of one panel, a row a group."""
    import pandas as pd

    return pd.DataFrame(
        [
            {"dataset": dataset, "panel": panel, "p_group": p, "d_group": d} | number._asdict()
            for p, row in zip(P_GROUPS, groups, strict=True)
            for d, number in zip(D_GROUPS, row, strict=True)
        ]
    )


def draw(
    axes: "Axes",
    groups: NineGroups,
    *,
    title: str,
    limits: tuple[float, float],
    colormap: str,
    form: str = "{:.1f}",
    y_labels: bool = True,
) -> "ScalarMappable":
    """Draw one panel: color and number of every group, below it half its 95 % interval."""
    import seaborn as sns

    values = np.array([[number.value for number in row] for row in groups])
    numbers = [[_number(number.value, form) for number in row] for row in groups]
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
        number = groups[int(y)][int(x)]
        text.set_y(y - 0.06)
        if not np.isnan(number.low):
            half = f"± {(number.high - number.low) / 2:.1f}"
            style = {"ha": "center", "va": "center", "fontsize": 6}
            axes.text(x, y + 0.2, half, color=text.get_color(), **style)
    for i, j in np.argwhere(np.isnan(values)):
        style = {"ha": "center", "va": "center", "fontsize": 6, "color": "#555555"}
        axes.text(j + 0.5, i + 0.5, "no class", **style)
    axes.set_title(title)
    axes.tick_params(length=0, rotation=0)
    axes.set_facecolor("#e8e8e8")
    return axes.collections[0]


def color_bar(image: "ScalarMappable", axes: Any, label: str) -> None:
    """Draw the scale of a panel, or of several, beside them."""
    figure = np.ravel(axes)[0].figure
    bar = figure.colorbar(image, ax=axes, shrink=0.86, pad=0.02)
    bar.set_label(label)
    bar.outline.set_visible(False)


def _number(value: float, form: str) -> str:
    return "" if np.isnan(value) else form.format(value).replace("-", "\N{MINUS SIGN}")

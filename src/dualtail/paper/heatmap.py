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
    """Return the numbers of one panel, a row per group."""
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
    values = np.array([[number.value for number in row] for row in groups])
    image = axes.pcolormesh(
        np.ma.masked_invalid(values),
        vmin=limits[0],
        vmax=limits[1],
        cmap=colormap,
        edgecolor="white",
        linewidth=1.5,
    )
    centers = np.arange(3) + 0.5
    axes.set(title=title, aspect="equal", facecolor="#e8e8e8", ylim=(3, 0))
    axes.set_xticks(centers, D_GROUPS)
    axes.set_yticks(centers, P_GROUPS if y_labels else [""] * 3)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for i, j in np.ndindex(values.shape):
        number = groups[i][j]
        ink = _ink(np.array(image.to_rgba(number.value)))
        style: dict[str, Any] = {"ha": "center", "va": "center", "color": ink}
        if np.isnan(number.value):
            axes.text(j + 0.5, i + 0.5, "no class", fontsize=6, **style)
            continue
        shown = form.format(number.value).replace("-", "\N{MINUS SIGN}")
        axes.text(j + 0.5, i + 0.44, shown, fontsize=9, **style)
        if not np.isnan(number.low):
            half = f"± {(number.high - number.low) / 2:.1f}"
            axes.text(j + 0.5, i + 0.7, half, fontsize=6, **style)
    return image


def _ink(background: np.ndarray) -> str:
    """Black or white, whichever contrasts more (WCAG: black from a relative luminance of .18)."""
    channels = background[:3]
    linear = np.where(channels <= 0.03928, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return "black" if linear @ [0.2126, 0.7152, 0.0722] > 0.18 else "white"


def color_bar(image: "ScalarMappable", axes: Any, label: str) -> None:
    """Draw the scale of a panel, or of several, beside them."""
    figure = np.ravel(axes)[0].figure
    bar = figure.colorbar(image, ax=axes, shrink=0.86, pad=0.02)
    bar.set_label(label)
    bar.outline.set_visible(False)

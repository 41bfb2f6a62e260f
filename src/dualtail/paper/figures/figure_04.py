"""Figure 4: what models look at: Grad-CAM of every factor under CE and LA, and fused."""

from typing import TYPE_CHECKING

import numpy as np

from dualtail.paper.cam_panels import (
    COLORMAP,
    Column,
    columns_of,
    draw_row,
    row_data,
    share_data,
)
from dualtail.paper.context import PaperContext
from dualtail.paper.style import BLUE, DOUBLE, GRAY, ORANGE, SKY, PaperFigure, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

ROWS = 3
COLORS = (SKY, ORANGE, BLUE, GRAY)


def build(scores: "pd.DataFrame", per_class: "pd.DataFrame", context: PaperContext) -> PaperFigure:
    """Draw some images with their maps, and below the share of all maps on each part.

    Raises:
        UserError: there are no explained images, or no maps of a model.
    """
    del scores, per_class  # every figure is built from the same arguments
    import pandas as pd
    from matplotlib.figure import Figure

    dataset = context.places
    examples = context.examples_of(dataset)
    columns = columns_of(context, examples)
    rows = range(min(ROWS, len(examples)))
    shares = None if context.grad_cam is None else share_data(context, dataset)
    with_bars = shares is not None and len(shares) > 0
    data = [line for row in rows for line in row_data(examples, dataset, row, columns)]
    cell = DOUBLE / (len(columns) + 1)
    with styled():
        height = cell * len(rows) + 0.75 + (1.75 if with_bars else 0)
        figure = Figure(figsize=(DOUBLE, height))
        parts = figure.subfigures(
            2 if with_bars else 1,
            1,
            height_ratios=[cell * len(rows) + 0.75, 1.75] if with_bars else None,
            squeeze=False,
        )[:, 0]
        axes = parts[0].subplots(len(rows), len(columns) + 1, squeeze=False)
        for i, row in enumerate(rows):
            draw_row(list(axes[i]), examples, row, columns)
            axes[i, 0].set_ylabel(f"“{examples.header.class_names[row]}”")
        axes[0, 0].set_title("image")
        for ax, column in zip(axes[0, 1:], columns, strict=True):
            ax.set_title(f"{column.title}\n{column.subtitle}")
        bar = parts[0].colorbar(_mappable(), ax=axes, location="right", shrink=0.7, aspect=25)
        bar.set_ticks([0, 1], labels=["0", "max"])
        bar.outline.set_visible(False)
        if with_bars:
            assert shares is not None
            data += _draw_shares(parts[1].subplots(), shares, columns, dataset)
    return PaperFigure(
        number=4,
        title="What every semantic factor looks at",
        caption=(
            f"Grad-CAM of the true class on {context.datasets[dataset]}, models tuned with "
            f"{context.pefts[context.first_peft]}, at the patches that the last attention reads; each "
            "map is scaled to its own maximum. Fused: the gradient of the averaged logits. "
            "Images: the first, one a class, that all models tuned with LA get right."
            + (
                f" Below: share of all maps' positive mass on each part "
                f"({int(shares['n_images'].max())} images at most; 95 % bootstrap intervals), the "
                "line is the part's share of the area."
                if with_bars and shares is not None
                else ""
            )
        ),
        figure=figure,
        data=pd.DataFrame(data),
    )


def _mappable():
    from matplotlib.cm import ScalarMappable

    return ScalarMappable(cmap=COLORMAP)


def _draw_shares(
    ax: "Axes", shares: "pd.DataFrame", columns: list[Column], dataset: str
) -> list[dict]:
    """Draw grouped bars, a group a column of maps; return what is drawn."""
    regions = list(dict.fromkeys(shares["region"]))
    width, data = 0.8 / len(regions), []
    for g, column in enumerate(columns):
        wanted = column.shown
        own = shares[
            (shares["members"] == wanted["members"])
            & (shares["loss"] == wanted["loss"])
            & (shares["fusion"] == wanted.get("fusion", ""))
        ].set_index("region")
        for r, region in enumerate(regions):
            line = own.loc[region]
            x = g + (r - (len(regions) - 1) / 2) * width
            ax.bar(x, line["share"], width * 0.92, color=COLORS[r], label=region if g == 0 else "")
            spread = np.array([[line["share"] - line["ci_low"]], [line["ci_high"] - line["share"]]])
            ax.errorbar(x, line["share"], spread, color="black", elinewidth=0.8, capsize=0)
            ax.plot([x - width / 2, x + width / 2], 2 * [line["area"]], color="black", lw=1.2)
            data.append(
                {
                    "panel": "shares",
                    "dataset": dataset,
                    "model": column.title,
                    "loss": column.subtitle,
                    "region": region,
                    **{k: float(line[k]) for k in ("share", "ci_low", "ci_high", "area")},
                }
            )
    ax.set_xticks(range(len(columns)), [f"{c.title}\n{c.subtitle}" for c in columns])
    ax.tick_params(axis="x", length=0)
    ax.set_ylabel("share of the map (%)")
    ax.set_ylim(0, None)
    ax.legend(ncols=len(regions), loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return data

"""Figure 4: what models look at: Grad-CAM of every factor under CE and LA, and fused."""

from typing import TYPE_CHECKING, Any

from dualtail.paper.cam_panels import (
    COLORMAP,
    LABELS,
    TIGHT,
    Column,
    columns_of,
    draw_row,
    draw_titles,
    row_data,
    row_label,
    share_data,
)
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.style import BLUE, DOUBLE, GRAY, GREEN, ORANGE, SKY, PaperFigure, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

ROWS = 3
BAR = 0.55
"""Width of the color bar with its labels, inches."""
SHARES = 1.75
"""Height of the lower panel, inches."""
COLORS = (BLUE, ORANGE, GRAY, SKY, GREEN)


def build(lookup: ScoreLookup) -> PaperFigure:
    """Draw some images with their maps, and below the share of all maps on each part.

    Raises:
        UserError: there are no explained images, or no maps of a model.
    """
    import pandas as pd
    from matplotlib.figure import Figure

    context = lookup.context
    dataset = context.places
    examples = context.examples_of(dataset)
    columns = columns_of(context, examples)
    rows = range(min(ROWS, len(examples)))
    shares = share_data(context, dataset)
    data = [line for row in rows for line in row_data(examples, dataset, row, columns)]
    heights = [(DOUBLE - LABELS - BAR) / (len(columns) + 1) * len(rows) + 0.45]
    heights += [SHARES] if len(shares) else []
    with styled():
        figure = Figure(figsize=(DOUBLE, sum(heights)))
        figure.get_layout_engine().set(**TIGHT)  # type: ignore[union-attr]
        ratios = heights if len(shares) else None
        parts = figure.subfigures(len(heights), 1, height_ratios=ratios, squeeze=False)[:, 0]
        axes = parts[0].subplots(len(rows), len(columns) + 1, squeeze=False)
        for i, row in enumerate(rows):
            draw_row(list(axes[i]), examples, row, columns)
            axes[i, 0].set_ylabel(row_label(examples, row))
        draw_titles(axes[0], columns)
        bar = parts[0].colorbar(_mappable(), ax=axes, location="right", shrink=0.7, aspect=25)
        bar.set_ticks([0, 1], labels=["0", "max"])
        bar.outline.set_visible(False)
        if len(shares):
            data += _draw_shares(parts[1].subplots(), shares, columns, dataset)
    below = (
        " Below: mean share of the maps' positive mass on each part, over the part's share "
        f"of the area (1: as in an even map), of up to {int(shares['n_images'].max())} "
        "images; 95 % bootstrap intervals."
        if len(shares)
        else ""
    )
    return PaperFigure(
        number=4,
        title="What every semantic factor looks at",
        caption=(
            f"Grad-CAM of the true class on {context.datasets[dataset]}, models tuned with "
            f"{context.pefts[context.first_peft]}, at the patches that the last attention reads; each "
            "map is scaled to its own maximum; gray alone: nothing positive. Fused: the gradient of "
            "the averaged logits. "
            "Images: the first, one a class, that all models tuned with LA get right (others "
            f"follow if there are too few).{below}"
        ),
        figure=figure,
        data=pd.DataFrame(data),
    )


def _mappable():
    from matplotlib.cm import ScalarMappable

    return ScalarMappable(cmap=COLORMAP)


def _draw_shares(
    ax: "Axes", shares: "pd.DataFrame", columns: list[Column], dataset: str
) -> list[dict[str, Any]]:
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
            value, low, high = (
                float(line[name]) / float(line["area"]) for name in ("share", "ci_low", "ci_high")
            )
            x = g + (r - (len(regions) - 1) / 2) * width
            ax.bar(x, value, width * 0.92, color=COLORS[r], label=region if g == 0 else "")
            ax.plot([x, x], [low, high], color="black", lw=0.9)
            data.append(
                {
                    "panel": "shares",
                    "dataset": dataset,
                    "model": column.title,
                    "loss": column.subtitle,
                    "region": region,
                    **{k: float(line[k]) for k in ("share", "ci_low", "ci_high", "area")},
                    "share_over_area": value,
                }
            )
    ax.axhline(1, color="black", lw=0.8, ls=(0, (4, 2)))
    ax.set_xticks(range(len(columns)), [column.heading for column in columns])
    ax.tick_params(axis="x", length=0)
    ax.set_ylabel("share of map\n/ share of area")
    ax.set_ylim(0, None)
    ax.legend(ncols=len(regions), loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return data

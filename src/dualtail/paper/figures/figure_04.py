"""Figure 4: what models look at: Grad-CAM of every factor under CE and LA, and fused."""

from typing import TYPE_CHECKING, Any

from dualtail.paper.cam_panels import (
    COLORMAP,
    TIGHT,
    Column,
    columns_of,
    draw_rows,
    sizes_of,
)
from dualtail.paper.context import PaperContext
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.style import REGIONS, PaperFigure, drawing

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

ROWS = 3
BAR = 0.55
"""Width of the color bar with its labels, inches."""
SHARES = 1.75
"""Height of the lower panel, inches."""


def build(lookup: ScoreLookup) -> PaperFigure:
    """Draw some images with their maps, and below the share of all maps on each part."""
    import pandas as pd
    from matplotlib.cm import ScalarMappable

    context = lookup.context
    dataset = context.places
    examples = context.examples_of(dataset)
    columns = columns_of(context, examples)
    rows = [(dataset, row) for row in range(min(ROWS, len(examples)))]
    shares = _shares(context, dataset)
    side, width = sizes_of(columns, BAR)
    heights = [side * len(rows) + 0.45]
    heights += [SHARES] if len(shares) else []
    below = ""
    with drawing(sum(heights), width) as figure:
        figure.get_layout_engine().set(**TIGHT)  # type: ignore[union-attr]
        parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        axes = parts[0].subplots(len(rows), len(columns) + 1, squeeze=False)
        data = draw_rows(axes, context, rows, columns)
        heat = ScalarMappable(cmap=COLORMAP)
        bar = parts[0].colorbar(heat, ax=axes[:, -1], location="right", shrink=0.7, aspect=25)
        bar.set_ticks([0, 1], labels=["0", "max"])
        bar.outline.set_visible(False)
        if len(shares):
            data += _draw_shares(parts[1].subplots(), shares, columns, dataset)
            below = (
                " Below: mean share of the maps' positive mass on each part, over the part's share "
                f"of the area (1: as in an even map), of up to {int(shares['n_images'].max())} "
                "images; 95 % bootstrap intervals."
            )
    return PaperFigure(
        number=4,
        title="What every semantic factor looks at",
        caption=(
            f"Grad-CAM of the true class on {context.datasets[dataset]}, models tuned with "
            f"{context.pefts[context.first_peft]}, at the patches that the last attention reads; each "
            "map is scaled to its own maximum; gray alone: nothing positive. Fused: the gradient of "
            "the averaged logits. Images: the first, one per class, that all models tuned with LA get "
            f"right (others follow if there are too few).{below}"
        ),
        figure=figure,
        data=pd.DataFrame(data),
    )


def _shares(context: PaperContext, dataset: str) -> "pd.DataFrame":
    """The shares of the maps on each region, those of the first tuning; empty if unknown."""
    import pandas as pd

    if context.grad_cam is None:
        return pd.DataFrame()
    wanted = {"dataset": dataset} | context.first_tuning
    rows = context.grad_cam
    return rows[(rows[list(wanted)] == pd.Series(wanted)).all(axis=1)]


def _draw_shares(
    ax: "Axes", shares: "pd.DataFrame", columns: list[Column], dataset: str
) -> list[dict[str, Any]]:
    """Draw grouped bars, a group a column of maps; return what is drawn."""
    regions = list(dict.fromkeys(shares["region"]))
    width, data = 0.8 / len(regions), []
    for g, column in enumerate(columns):
        shown = {"fusion": ""} | column.shown
        own = shares[(shares["members"] == shown["members"]) & (shares["loss"] == shown["loss"])]
        lines = own[own["fusion"] == shown["fusion"]].set_index("region")
        for r, region in enumerate(regions):
            line = lines.loc[region]
            numbers = {k: float(line[k]) for k in ("share", "ci_low", "ci_high", "area")}
            value, low, high = (
                numbers[k] / numbers["area"] for k in ("share", "ci_low", "ci_high")
            )
            x = g + (r - (len(regions) - 1) / 2) * width
            label = region if g == 0 else ""
            ax.bar(x, value, width * 0.92, color=REGIONS[r % len(REGIONS)], label=label)
            ax.plot([x, x], [low, high], color="black", lw=0.9)
            about = {"panel": "shares", "dataset": dataset, "model": column.model}
            about |= {"loss": column.loss, "region": region}
            data.append(about | numbers | {"share_over_area": value})
    ax.axhline(1, color="black", lw=0.8, ls=(0, (4, 2)))
    ax.set_xticks(range(len(columns)), [column.heading for column in columns])
    ax.tick_params(axis="x", length=0)
    ax.set_ylabel("share of map\n/ share of area")
    ax.set_ylim(0, None)
    ax.legend(ncols=len(regions), loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return data

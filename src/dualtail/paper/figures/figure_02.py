"""Figure 2: nine-group accuracy of one model, tuned with CE and with LA."""

from typing import TYPE_CHECKING

from dualtail.paper.context import PaperContext
from dualtail.paper.heatmap import draw, nine_groups, tidy
from dualtail.paper.lookup import ScoreLookup, tuned
from dualtail.paper.style import DOUBLE, SEQUENTIAL, PaperFigure, styled

if TYPE_CHECKING:
    import pandas as pd


def build(scores: "pd.DataFrame", per_class: "pd.DataFrame", context: PaperContext) -> PaperFigure:
    """Draw the two panels on one color scale.

    Raises:
        UserError: the scores lack the tuned outputs, or P-groups.
    """
    del per_class  # every figure is built from the same arguments
    import pandas as pd
    from matplotlib.figure import Figure

    lookup = ScoreLookup(scores, context)
    dataset, member, peft = context.places, context.first_member, context.first_peft
    panels = {
        loss.upper(): nine_groups(lookup, dataset, tuned(member, peft, loss))
        for loss in ("ce", "la")
    }
    values = [cell.value for cells in panels.values() for row in cells for cell in row]
    known = [value for value in values if value == value]
    limits = (min(known, default=0.0), max(known, default=100.0))
    with styled():
        figure = Figure(figsize=(DOUBLE * 0.85, 2.6))
        axes = figure.subplots(1, 2)
        for index, (name, cells) in enumerate(panels.items()):
            image = draw(
                axes[index],
                cells,
                title=f"({'ab'[index]}) {context.members[member]}, {name}",
                limits=limits,
                colormap=SEQUENTIAL,
                y_labels=index == 0,
            )
        bar = figure.colorbar(image, ax=axes, shrink=0.86, pad=0.02)
        bar.set_label("accuracy (%)")
        bar.outline.set_visible(False)
    return PaperFigure(
        number=2,
        title="Data and parameter imbalance",
        caption=(
            f"Accuracy (%, mean over classes) of the nine crossed groups on "
            f"{context.datasets[dataset]}: {context.members[member]} tuned with "
            f"{context.pefts[peft]} and (a) CE, (b) LA. "
            + " ".join(["Small print: half the 95 % bootstrap interval.", *context.seeds_note()])
        ),
        figure=figure,
        data=pd.concat(
            [tidy(name, cells, context, dataset) for name, cells in panels.items()],
            ignore_index=True,
        ),
    )

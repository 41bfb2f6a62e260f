"""Figure 6: nine-group accuracy of the fused prediction, and its gain over a single model."""

from typing import TYPE_CHECKING

from dualtail.errors import UserError
from dualtail.paper.context import PaperContext
from dualtail.paper.heatmap import draw, nine_groups, tidy
from dualtail.paper.lookup import ScoreLookup, fused, over, tuned
from dualtail.paper.style import DIVERGING, DOUBLE, SEQUENTIAL, PaperFigure, styled

if TYPE_CHECKING:
    import pandas as pd

FUSION = "logits"
"""What the paper's figure shows (method notes: its tables and figures sum logits)."""


def build(scores: "pd.DataFrame", per_class: "pd.DataFrame", context: PaperContext) -> PaperFigure:
    """Draw the two panels.

    Raises:
        UserError: a single member, or the scores lack the fused outputs or P-groups.
    """
    del per_class  # every figure is built from the same arguments
    import pandas as pd
    from matplotlib.figure import Figure

    if len(context.members) < 2:
        raise UserError("figure 6 shows a fusion: study.members needs at least two")
    lookup = ScoreLookup(scores, context)
    dataset, member, peft = context.places, context.first_member, context.first_peft
    single = tuned(member, peft, "la")
    fusion = fused(tuple(context.members), peft, "la", FUSION)
    accuracy = nine_groups(lookup, dataset, fusion)
    gain = nine_groups(lookup, dataset, over(fusion, single), "accuracy_gain")
    known = [cell.value for row in accuracy for cell in row if cell.value == cell.value]
    largest = max((abs(c.value) for row in gain for c in row if c.value == c.value), default=1.0)
    labels = context.members_label("+".join(context.members))
    with styled():
        figure = Figure(figsize=(DOUBLE, 2.6))
        axes = figure.subplots(1, 2)
        panels = (
            (accuracy, "(a) fused, LA", (min(known, default=0.0), max(known, default=100.0))),
            (gain, f"(b) gain over {context.members[member]}, LA", (-largest, largest)),
        )
        for index, (cells, title, limits) in enumerate(panels):
            image = draw(
                axes[index],
                cells,
                title=title,
                limits=limits,
                colormap=(SEQUENTIAL, DIVERGING)[index],
                form=("{:.1f}", "{:+.1f}")[index],
                y_labels=index == 0,
            )
            bar = figure.colorbar(image, ax=axes[index], shrink=0.86, pad=0.02)
            bar.set_label(("accuracy (%)", "gain (percentage points)")[index])
            bar.outline.set_visible(False)
    return PaperFigure(
        number=6,
        title="Backdoor adjustment by groups",
        caption=(
            f"The nine crossed groups on {context.datasets[dataset]}: (a) accuracy (%, mean over "
            f"classes) of {labels}, tuned with {context.pefts[peft]} and LA and fused by "
            f"{FUSION}; (b) its gain over {context.members[member]} alone (percentage points). "
            f"Small print: half the 95 % bootstrap interval, paired for the gain. P-groups are "
            + " ".join([f"those of {context.members[member]}.", *context.seeds_note()])
        ),
        figure=figure,
        data=pd.concat(
            [tidy("fused", accuracy, context, dataset), tidy("gain", gain, context, dataset)],
            ignore_index=True,
        ),
    )

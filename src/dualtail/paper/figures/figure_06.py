"""Figure 6: nine-group accuracy of the fused prediction, and its gain over a single model."""

from dualtail.errors import UserError
from dualtail.paper.heatmap import color_bar, draw, nine_groups, range_of, tidy
from dualtail.paper.lookup import ScoreLookup, fused, over, tuned
from dualtail.paper.style import DIVERGING, SEQUENTIAL, PaperFigure, drawing

FUSION = "logits"
"""What the paper's figure shows (method notes: its tables and figures sum logits)."""


def build(lookup: ScoreLookup) -> PaperFigure:
    """Draw the two panels."""
    import pandas as pd

    context = lookup.context
    if len(context.members) < 2:
        raise UserError("figure 6 shows a fusion: study.members needs at least two")
    dataset, member, peft = context.places, context.first_member, context.first_peft
    label, dataset_label = context.members[member], context.datasets[dataset]
    fusion = fused(tuple(context.members), peft, "la", FUSION)
    pair = over(fusion, tuned(member, peft, "la"))
    accuracy = nine_groups(lookup, dataset, fusion)
    gain = nine_groups(lookup, dataset, pair, "accuracy_gain")
    largest = max((abs(g.value) for row in gain for g in row if g.value == g.value), default=1.0)
    with drawing(2.6) as figure:
        left, right = figure.subplots(1, 2)
        title, limits = "(a) fused, LA", range_of(accuracy)
        image = draw(left, accuracy, title=title, limits=limits, colormap=SEQUENTIAL)
        color_bar(image, left, "accuracy (%)")
        image = draw(
            right,
            gain,
            title=f"(b) gain over {label}, LA",
            limits=(-largest, largest),
            colormap=DIVERGING,
            form="{:+.1f}",
            y_labels=False,
        )
        color_bar(image, right, "gain (percentage points)")
    return PaperFigure(
        number=6,
        title="Backdoor adjustment by groups",
        caption=(
            f"The nine crossed groups on {dataset_label}: (a) accuracy (%, mean over classes) of "
            f"{context.members_label('+'.join(context.members))}, tuned with {context.pefts[peft]} "
            f"and LA and fused by {FUSION}; (b) its gain over {label} alone (percentage points). "
            f"Small print: half the 95 % interval, paired for the gain. P-groups are "
            + " ".join([f"those of {label}.", *context.seeds_note()])
        ),
        figure=figure,
        data=pd.concat(
            [tidy("fused", accuracy, dataset_label), tidy("gain", gain, dataset_label)],
            ignore_index=True,
        ),
    )

"""Figure 2: nine-group accuracy of one model, tuned with CE and with LA."""

from dualtail.paper.heatmap import color_bar, draw, nine_groups, range_of, tidy
from dualtail.paper.lookup import ScoreLookup, tuned
from dualtail.paper.style import DOUBLE, SEQUENTIAL, PaperFigure, drawing


def build(lookup: ScoreLookup) -> PaperFigure:
    """Draw the two panels on one color scale."""
    import pandas as pd

    context = lookup.context
    dataset, member, peft = context.places, context.first_member, context.first_peft
    panels = {
        loss.upper(): nine_groups(lookup, dataset, tuned(member, peft, loss))
        for loss in ("ce", "la")
    }
    limits = range_of([row for groups in panels.values() for row in groups])
    with drawing(2.6, 0.85 * DOUBLE) as figure:
        axes = figure.subplots(1, 2)
        for index, (name, groups) in enumerate(panels.items()):
            image = draw(
                axes[index],
                groups,
                title=f"({'ab'[index]}) {context.members[member]}, {name}",
                limits=limits,
                colormap=SEQUENTIAL,
                y_labels=index == 0,
            )
        color_bar(image, axes, "accuracy (%)")
    return PaperFigure(
        number=2,
        title="Data and parameter imbalance",
        caption=(
            f"Accuracy (%, mean over classes) of the nine crossed groups on "
            f"{context.datasets[dataset]}: {context.members[member]} tuned with "
            f"{context.pefts[peft]} and (a) CE, (b) LA. "
            + " ".join(["Small print: half the 95 % interval.", *context.seeds_note()])
        ),
        figure=figure,
        data=pd.concat(
            [tidy(name, groups, context.datasets[dataset]) for name, groups in panels.items()],
            ignore_index=True,
        ),
    )

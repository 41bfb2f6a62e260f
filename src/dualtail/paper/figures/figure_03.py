"""Figure 3: class accuracies in the order of the training prior and of the pre-training prior."""

from typing import TYPE_CHECKING

from dualtail.paper.lookup import ScoreLookup, tuned, zero_shot
from dualtail.paper.sorted_curves import smoothing_width, sorted_classes
from dualtail.paper.style import BLUE, DOUBLE, GRAY, VERMILION, PaperFigure, legend_above, styled

if TYPE_CHECKING:
    import pandas as pd

ORDERS = {"train_count": r"training prior $\pi_S$", "q": r"pre-training prior $q$"}
CURVES = {"zero-shot": (GRAY, (0, (1, 1))), "CE": (VERMILION, (0, (4, 1.5))), "LA": (BLUE, "-")}


def build(lookup: ScoreLookup) -> PaperFigure:
    """Draw the two panels: the same accuracies in two orders of the classes.

    Raises:
        UserError: the class accuracies lack the outputs, the training counts or q.
    """
    from matplotlib.figure import Figure

    context = lookup.context
    data = _curves(lookup)
    with styled():
        figure = Figure(figsize=(DOUBLE, 2.5))
        axes = figure.subplots(1, 2, sharey=True)
        for index, (key, name) in enumerate(ORDERS.items()):
            ax, panel = axes[index], data[data["order"] == key]
            for curve, (color, dash) in CURVES.items():
                rows = panel[panel["curve"] == curve]
                ax.plot(rows["rank"], rows["accuracy"], ".", color=color, ms=4, alpha=0.35, mew=0)
                ax.plot(rows["rank"], rows["smoothed"], color=color, linestyle=dash, label=curve)
            ax.set_xlabel("class rank, most frequent first")
            ax.set_title(f"({'ab'[index]}) sorted by {name}")
            ax.set_xlim(0.5, panel["rank"].max() + 0.5)
            ax.set_ylim(0, 100)
        axes[0].set_ylabel("accuracy (%)")
        legend_above(axes[0])
    n_classes = int(data["rank"].max())
    return PaperFigure(
        number=3,
        title="Class accuracies by data and by parameter imbalance",
        caption=(
            f"Accuracy (%) of each class of {context.datasets[context.places]} (dots), "
            f"{context.members[context.first_member]} zero-shot and tuned with "
            f"{context.pefts[context.first_peft]}, sorted by "
            "(a) training images and (b) the estimated pre-training prior. Lines: Gaussian moving "
            f"average over the rank with a standard deviation of {smoothing_width(n_classes):g} classes, "
            + " ".join(["its weights renormalized at the ends.", *context.seeds_note()])
        ),
        figure=figure,
        data=data,
    )


def _curves(lookup: ScoreLookup) -> "pd.DataFrame":
    """A row an order, curve and class: rank, accuracy, smoothed accuracy."""
    import pandas as pd

    context = lookup.context
    dataset, member, peft = context.places, context.first_member, context.first_peft
    predictors = {
        "zero-shot": zero_shot(member),
        "CE": tuned(member, peft, "ce"),
        "LA": tuned(member, peft, "la"),
    }
    parts = []
    for key in ORDERS:
        for curve in CURVES:
            found = sorted_classes(lookup, dataset, predictors[curve], key)
            labels = {"dataset": context.datasets[dataset], "order": key, "curve": curve}
            parts.append(pd.DataFrame(labels, index=found.index).join(found))
    return pd.concat(parts, ignore_index=True)

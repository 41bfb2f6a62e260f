"""Figure 3: class accuracies in the order of the training prior and of the pre-training prior."""

from dualtail.paper.lookup import ScoreLookup, tuned, zero_shot
from dualtail.paper.sorted_curves import Look, draw_curve, smoothing_in_words, sorted_classes
from dualtail.paper.style import BLUE, DATA, GRAY, PaperFigure, drawing, legend_above

ORDERS = {"train_count": r"training prior $\pi_S$", "q": "pre-training prior $q$"}
LOOKS = {"zero-shot": Look(GRAY, (0, (1, 1))), "CE": Look(DATA, (0, (4, 1.5))), "LA": Look(BLUE)}

COLUMNS = ["dataset", "order", "curve", "rank", "class_index", "class_name"]
COLUMNS += [*ORDERS, "accuracy", "smoothed"]


def build(lookup: ScoreLookup) -> PaperFigure:
    """Draw a row per dataset, and in it the same accuracies in two orders of the classes."""
    import pandas as pd

    context = lookup.context
    member, peft, datasets = context.first_member, context.first_peft, context.two_datasets
    predictors = [zero_shot(member), tuned(member, peft, "ce"), tuned(member, peft, "la")]
    data, sizes = [], []
    with drawing(0.3 + 2.1 * len(datasets)) as figure:
        axes = figure.subplots(len(datasets), 2, sharey=True, squeeze=False)
        for row, dataset in enumerate(datasets):
            label = context.datasets[dataset]
            for ax, (order, name) in zip(axes[row], ORDERS.items(), strict=True):
                for (curve, look), predictor in zip(LOOKS.items(), predictors, strict=True):
                    classes = sorted_classes(lookup, dataset, predictor, order)
                    draw_curve(ax, classes, curve, look)
                    data.append(classes.assign(dataset=label, order=order, curve=curve))
                ax.set_title(f"({'ab'[row]}) {label}, sorted by {name}")
                ax.set_ylim(0, 102)
            axes[row, 0].set_ylabel("accuracy (%)")
            sizes.append(len(data[-1]))
        for ax in axes[-1]:
            ax.set_xlabel("class rank, most frequent first")
        legend_above(axes[0, 0])
    return PaperFigure(
        number=3,
        title="Class accuracies by data and by parameter imbalance",
        caption=(
            "Accuracy (%) of each class (dots) of "
            f"{' and '.join(context.datasets[dataset] for dataset in datasets)}, "
            f"{context.members[member]} zero-shot and tuned with {context.pefts[peft]}, sorted by "
            "training images (left) and by the estimated pre-training prior (right). "
            + " ".join([smoothing_in_words(*sizes), *context.seeds_note()])
        ),
        figure=figure,
        data=pd.concat(data, ignore_index=True)[COLUMNS],
    )

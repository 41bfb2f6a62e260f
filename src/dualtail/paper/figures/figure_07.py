"""Figure 7: training prior against pre-training prior, of the original and the constructed sets."""

from typing import TYPE_CHECKING

from dualtail.errors import UserError
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.style import BLUE, PaperFigure, drawing, marks

if TYPE_CHECKING:
    import pandas as pd

TITLES = {"consistency": "consistent", "reverse": "reversed", "balance": "balanced"}


def build(lookup: ScoreLookup) -> PaperFigure:
    """Draw the original and a panel per order (the first sample): a mark per class, log q over log pi_S."""
    import pandas as pd
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    context = lookup.context
    study = context.reordered_sets()
    panels = {f"original {context.datasets[study.parent]}": ("original", study.parent)}
    panels |= {TITLES[order]: (order, names[0]) for order, names in study.datasets.items()}
    data = []
    with drawing(2.2) as figure:
        axes = figure.subplots(1, len(panels), sharex=True, sharey=True)
        for k, (title, (order, dataset)) in enumerate(panels.items()):
            ax, classes = axes[k], _classes(lookup, dataset)
            data.append(classes.assign(order=order))
            style = marks(len(classes), 3.2, 0.6)
            ax.plot(classes["pi_s"], classes["q"], "o", color=BLUE, **style)
            ax.set_title(f"({'abcd'[k]}) {title}")
            ax.set_xscale("log")
            ax.set_yscale("log")
        drawn = pd.concat(data, ignore_index=True)
        for axis, values in ((axes[0].xaxis, drawn["pi_s"]), (axes[0].yaxis, drawn["q"])):
            wide = values.max() > 100 * values.min()
            axis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 3.0)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}"))
            axis.set_minor_formatter(NullFormatter())
        axes[0].set_ylabel("pre-training prior $q$ (%)")
        figure.supxlabel(r"training prior $\pi_S$ (%)", fontsize=8)
    return PaperFigure(
        number=7,
        title="Training sets that agree or disagree with the pre-training prior",
        caption=(
            "Every class (a mark): its share of the training set and its estimated pre-training prior "
            f"for {context.members[study.member]}. (a) {context.datasets[study.parent]}; (b, c, d) the "
            "training sets of Table 13, drawn with counts in the order of q, in the opposite order, "
            "and equal (the first sample of each). Both axes are logarithmic."
        ),
        figure=figure,
        data=drawn[["order", "class_index", "class_name", "pi_s", "q"]],
    )


def _classes(lookup: ScoreLookup, dataset: str) -> "pd.DataFrame":
    """A row per class of a training set: pi_s and q."""
    rows = lookup.per_class.query("dataset == @dataset and train_count.notna()")
    if rows.empty:
        raise UserError(
            f"the class accuracies of run {lookup.context.run!r} lack the training counts of {dataset}: "
            "make the study of Table 13"
        )
    classes = rows.drop_duplicates("class_index").sort_values("class_index")
    counts = classes["train_count"].astype(float)
    return classes[["class_index", "class_name", "q"]].assign(pi_s=counts / counts.sum())

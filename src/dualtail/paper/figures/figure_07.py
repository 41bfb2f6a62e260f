"""Figure 7: the constructed training sets, training prior against pre-training prior."""

from typing import TYPE_CHECKING

from dualtail.datasets.settings import ORDERS
from dualtail.errors import UserError
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.style import BLUE, DOUBLE, GREEN, VERMILION, PaperFigure, styled

if TYPE_CHECKING:
    import pandas as pd

MARKS = {"consistency": (BLUE, "o"), "reverse": (VERMILION, "^"), "balance": (GREEN, "s")}


def build(lookup: ScoreLookup) -> PaperFigure:
    """Draw a panel an order: a mark per class, log q over log pi_S, of the first sample.

    Raises:
        UserError: the class accuracies lack one of the training sets.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    data = _marks(lookup)
    with styled():
        figure = Figure(figsize=(DOUBLE, 2.4))
        axes = figure.subplots(1, len(ORDERS), sharex=True, sharey=True)
        for ax, order in zip(axes, ORDERS, strict=True):
            panel = data[data["order"] == order]
            color, mark = MARKS[order]
            ax.plot(panel["pi_s"], panel["q"], mark, color=color, ms=3.5, alpha=0.7, mew=0)
            ax.set_title(order.capitalize())
            ax.set_xscale("log")
            ax.set_yscale("log")
            ax.set_xlabel(r"training prior $\pi_S$")
            ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            ax.xaxis.set_minor_formatter(NullFormatter())
        axes[0].set_ylabel(r"pre-training prior $q$")
    context = lookup.context
    study = context.reordered_sets()
    return PaperFigure(
        number=7,
        title="Training sets that agree or disagree with the pre-training prior",
        caption=(
            f"Every class of the training sets of Table 13 (the first sample of each): its share of "
            f"the training set and {context.members[study.member]}'s estimated pre-training prior."
        ),
        figure=figure,
        data=data,
    )


def _marks(lookup: ScoreLookup) -> "pd.DataFrame":
    """A row an order and class: pi_s and q."""
    import pandas as pd

    parts, classes = [], lookup.per_class
    for order in ORDERS:
        dataset = lookup.context.reordered_sets().datasets[order][0]
        rows = classes[classes["dataset"] == dataset]
        if rows.empty:
            raise UserError(
                f"the class accuracies of run {lookup.context.run!r} lack {dataset}: make the study of "
                "Table 13"
            )
        rows = rows.drop_duplicates("class_index").sort_values("class_index")
        counts = rows["train_count"].to_numpy(float)
        parts.append(
            pd.DataFrame(
                {
                    "order": order,
                    "class_index": rows["class_index"].to_numpy(),
                    "class_name": rows["class_name"].to_numpy(),
                    "pi_s": counts / counts.sum(),
                    "q": rows["q"].to_numpy(float),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)

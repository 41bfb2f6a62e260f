"""Figure 12: networks trained on A or B, tested on both, epoch by epoch."""

from typing import TYPE_CHECKING

from dualtail.confounder.files import read_histories
from dualtail.confounder.sets import SETS
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.six_classes import final_accuracies
from dualtail.paper.style import BLACK, DATA, PaperFigure, drawing
from dualtail.scratch.settings import ScratchTraining

if TYPE_CHECKING:
    import pandas as pd

STYLES = {"A": (BLACK, "-"), "B": (DATA, (0, (4, 1.5)))}


def build(lookup: ScoreLookup) -> PaperFigure:
    """Draw a panel a test set, a curve a training set: mean and extremes over seeds."""
    context = lookup.context
    curves = read_histories(context.six_classes.histories)
    final = final_accuracies(lookup)
    data = _summary(curves)
    with drawing(2.5) as figure:
        axes = figure.subplots(1, len(SETS), sharey=True)
        for ax, letter, (test, share) in zip(axes, "ab", SETS.items(), strict=True):
            for train, (color, dash) in STYLES.items():
                rows = data[(data["train_set"] == train) & (data["test_set"] == test)]
                ax.fill_between(
                    rows["epoch"], rows["lowest"], rows["highest"], color=color, alpha=0.2, lw=0
                )
                label = f"trained on {train}_train: {final[train, test]} %"
                ax.plot(rows["epoch"], rows["mean"], color=color, linestyle=dash, label=label)
            proportions = f"{100 * share:.0f} / {100 - 100 * share:.0f}"
            ax.set_title(f"({letter}) tested on {test}_test ({proportions})")
            ax.set_xlabel("epoch")
            ax.set_xlim(data["epoch"].min(), data["epoch"].max())
            ax.set_ylim(0, 102)
            ax.legend(loc="lower right")
        axes[0].set_ylabel("accuracy (%)")
    training = ScratchTraining.model_validate(context.config["confounder"]["training"])
    n_seeds = curves["seed"].nunique()
    several = n_seeds > 1
    return PaperFigure(
        number=12,
        title="Training on balanced and on unbalanced semantic factors",
        caption=(
            f"{training.label} from scratch on six classes with two semantic factors, 50 / 50 in A and "
            "90 / 10 in B: test accuracy (%) after every epoch, "
            + (f"mean and extremes over {n_seeds} seeds. " if several else "one seed. ")
            + "The numbers are those after the last epoch"
            + (", mean ± standard deviation." if several else ".")
        ),
        figure=figure,
        data=data,
    )


def _summary(curves: "pd.DataFrame") -> "pd.DataFrame":
    """Return one row per training set, test set and epoch: mean, lowest and highest over seeds."""
    tall = curves.melt(
        ["train_set", "seed", "epoch"], [f"{name}_test" for name in SETS], "test_set", "accuracy"
    )
    tall["test_set"] = tall["test_set"].str.removesuffix("_test")
    groups = tall.groupby(["train_set", "test_set", "epoch"], as_index=False)["accuracy"]
    return groups.agg(["mean", "min", "max"]).rename(columns={"min": "lowest", "max": "highest"})

"""Fusion by logits against fusion by probabilities, for every set of members: a pivot of the scores."""

from dualtail.paper.context import PaperContext
from dualtail.paper.layout import Table, grid
from dualtail.paper.lookup import Predictor, ScoreLookup, fused, over
from dualtail.paper.style import (
    BLUE,
    GRAY,
    GREEN,
    VERMILION,
    PaperFigure,
    drawing,
    legend_above,
)

MODES = ("logits", "probabilities")
DIFFERENCE = "logits less probabilities"
GAIN_GROUPS = ("Overall", "D-Few", "P-Few")
COLUMNS = [("Accuracy", mode) for mode in MODES] + [(DIFFERENCE, group) for group in GAIN_GROUPS]
MARKS = ((BLUE, "o"), (VERMILION, "^"), (GREEN, "s"))


def fused_pairs(
    context: PaperContext,
) -> dict[tuple[str, str, str], tuple[str, Predictor, Predictor]]:
    """Return (dataset, tuning, models) in words -> dataset, fused by logits, fused by probabilities."""
    fusion = context.config["fusion"]
    tunings = [(peft, loss) for peft in context.pefts for loss in fusion["losses"]]
    kinds = [("zero-shot", "", "")] if fusion["zero_shot"] else []
    kinds += [(f"{context.pefts[peft]}, {loss.upper()}", peft, loss) for peft, loss in tunings]
    found = {}
    for dataset, label in context.datasets.items():
        for what, peft, loss in kinds:
            for subset in context.subsets():
                if len(subset) > 1:
                    pair = [fused(subset, peft, loss, mode) for mode in MODES]
                    models = context.members_label("+".join(subset))
                    found[label, what, models] = (dataset, pair[0], pair[1])
    return found


def fusion_modes_table(lookup: ScoreLookup) -> Table:
    """Lay out the table.

    Raises:
        UserError: the scores lack a fusion, or the comparison of two.
    """
    context = lookup.context

    def cell(pair: tuple[str, Predictor, Predictor], column: tuple[str, str]) -> object:
        dataset, by_logits, by_probabilities = pair
        what, name = column
        if what == DIFFERENCE:
            return lookup.get(dataset, over(by_logits, by_probabilities), "accuracy_gain", name)
        return lookup.get(dataset, by_logits if name == "logits" else by_probabilities)

    return Table(
        name="logits_probabilities",
        title="Fusion by logits against fusion by probabilities",
        caption=(
            "Accuracy (%, mean over classes) of the mean of logits, which the paper's code takes, and "
            "of the mean of probabilities, which Eq. 7 says; their difference in percentage points."
        ),
        cells=grid(
            rows=list(fused_pairs(context).items()),
            columns=[(column, column) for column in COLUMNS],
            row_names=["Dataset", "Tuning", "Models"],
            cell=cell,
        ),
        notes=(
            "Differences are paired: both fusions on the same resampled images.",
            *context.seeds_note(*context.pefts),
        ),
    )


def fusion_modes_figure(lookup: ScoreLookup) -> PaperFigure:
    """Draw a panel per dataset: the difference of every set of members, a mark per tuning.

    Raises:
        UserError: the scores lack the comparison of two fusions.
    """
    import pandas as pd

    data = pd.DataFrame(
        [
            {"dataset": label, "tuning": tuning, "models": models}
            | dict(zip(("gain", "low", "high"), found, strict=True))
            for (label, tuning, models), (dataset, one, two) in fused_pairs(lookup.context).items()
            for found in [lookup.get(dataset, over(one, two), "accuracy_gain")]
        ]
    )
    datasets, tunings, sets = (list(dict.fromkeys(data[c])) for c in data.columns[:3])
    with drawing(0.9 + 0.35 * len(sets)) as figure:
        axes = figure.subplots(1, len(datasets), sharex=True, sharey=True, squeeze=False)[0]
        for ax, dataset in zip(axes, datasets, strict=True):
            ax.axvline(0, color=GRAY, lw=0.6)
            for k, tuning in enumerate(tunings):
                rows = data[(data["dataset"] == dataset) & (data["tuning"] == tuning)]
                color, mark = MARKS[k % len(MARKS)]
                ax.errorbar(
                    rows["gain"],
                    [
                        sets.index(models) + 0.2 * (k - (len(tunings) - 1) / 2)
                        for models in rows["models"]
                    ],
                    # Few replicates can leave the value outside its interval.
                    xerr=[
                        (rows["gain"] - rows["low"]).clip(lower=0),
                        (rows["high"] - rows["gain"]).clip(lower=0),
                    ],
                    fmt=mark,
                    ms=3.5,
                    lw=0.9,
                    color=color,
                    label=tuning,
                )
            ax.set_title(dataset)
            ax.set_yticks(range(len(sets)), sets)
            ax.tick_params(axis="y", length=0)
        axes[0].invert_yaxis()
        figure.supxlabel("accuracy by logits less by probabilities (percentage points)", fontsize=8)
        legend_above(axes[0])
    return PaperFigure(
        name="logits_probabilities",
        title="Fusion by logits against fusion by probabilities",
        caption="Difference of accuracy with 95 % intervals; right of the line logits are better.",
        figure=figure,
        data=data,
    )

"""Accuracy against cost of everything that a run could deploy: a table, and a figure."""

from typing import TYPE_CHECKING

from dualtail.paper.context import PaperContext
from dualtail.paper.frontier import Recommendation, front, nine_group_worst, recommend
from dualtail.paper.layout import Table, grid
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.predictors import name_of
from dualtail.paper.style import BLUE, GRAY, VERMILION, PaperFigure, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = {"GFLOPs": "{:.3g}", "Images/s": "{:,.0f}"}
GROUPS = ("D-Few", "P-Few")
WORST = "Worst of nine groups"


def frontier_table(lookup: ScoreLookup) -> Table:
    """Lay out the table: a row for each candidate, the cheapest of each dataset first."""
    context = lookup.context
    rows = []
    for dataset, label in context.datasets.items():
        advice = recommend(lookup, dataset)
        if advice is None:
            continue
        for candidate, is_on in zip(advice.candidates, front(advice.candidates), strict=True):
            marks = ["front"] if is_on else []
            marks += ["recommended"] if candidate is advice.chosen else []
            name = name_of(candidate.predictor, context)
            rows.append(((label, name, ", ".join(marks)), (dataset, candidate)))

    def cell(row, column: str) -> object:
        dataset, candidate = row
        numbers = {
            "GFLOPs": candidate.gflops,
            "Images/s": candidate.images_per_second,
            "Validation": candidate.validation,
            "Accuracy": candidate.accuracy,
        }
        if column in numbers:
            return numbers[column]
        if column == WORST:
            return nine_group_worst(lookup, dataset, candidate.predictor)
        return lookup.find(dataset, candidate.predictor, group=column)

    columns = (*FORMATS, "Validation", "Accuracy", *GROUPS, WORST)
    return Table(
        name="frontier",
        title="Candidates to deploy, and what they cost",
        caption=(
            "Cost of one image, and accuracy (%, mean over classes): on validation images, which the "
            "choice is made by, and on test images, overall and by group. Of each kind and number of "
            "models the best on validation images is shown (on test images where there are none)."
        ),
        cells=grid(
            rows=rows,
            columns=[((name,), name) for name in columns],
            row_names=["Dataset", "Predictor", "Mark"],
            cell=cell,
        ),
        formats=FORMATS,
        notes=(
            *([] if rows else ["No predictor has both an accuracy and a cost: give --costs."]),
            "Models run one after the other: costs add up. GFLOPs are counted, two for each "
            "multiply-add; images per second were measured in the run, beside its other jobs.",
            "front: nothing is as cheap and more accurate on test images. recommended: the cheapest "
            "within one standard error of the best on validation images.",
            *context.seeds_note(),
        ),
    )


def frontier_figure(lookup: ScoreLookup) -> PaperFigure:
    """Draw a panel for each dataset: accuracy over GFLOPs, the Pareto front as a line."""
    import pandas as pd

    context = lookup.context
    rows = []
    with drawing(2.6) as figure:
        axes = figure.subplots(1, len(context.datasets), squeeze=False)[0]
        for ax, (dataset, label) in zip(axes, context.datasets.items(), strict=True):
            ax.set_title(label)
            advice = recommend(lookup, dataset)
            if advice is not None:
                rows += [{"dataset": label} | row for row in _draw_panel(ax, advice, context)]
        axes[0].set_ylabel("accuracy on test images, %")
    return PaperFigure(
        name="frontier",
        title="Accuracy against cost",
        caption=(
            "Accuracy (%, mean over classes, 95 % intervals) against cost. Gray circles: before tuning; blue "
            "squares: tuned; red: recommended, the cheapest within one standard error of the best on "
            "validation images. The line is the Pareto front on test images; pale marks are not on it."
        ),
        figure=figure,
        data=pd.DataFrame(rows),
    )


def _draw_panel(
    ax: "Axes", advice: Recommendation, context: PaperContext
) -> list[dict[str, object]]:
    """Draw the candidates on one dataset and their front; return a row per candidate."""
    found = list(zip(advice.candidates, front(advice.candidates), strict=True))
    line = [(one.gflops, one.accuracy.value) for one, is_on in found if is_on]
    ax.step(*zip(*line, strict=True), where="post", color=GRAY, lw=0.8)
    rows, named = [], set()
    for one, is_on in found:
        value, low, high = one.accuracy
        is_chosen = one is advice.chosen
        color, mark = (BLUE, "s") if one.predictor.peft else (GRAY, "o")
        ax.errorbar(
            one.gflops,
            value,
            yerr=[[abs(value - low)], [abs(value - high)]] if low == low else None,
            fmt=mark,
            ms=4,
            lw=0.7,
            color=VERMILION if is_chosen else color,
            alpha=1.0 if is_on or is_chosen else 0.4,
            zorder=3 if is_chosen else 2,
        )
        n = len(one.models)
        name = f"{n} model{'s' if n > 1 else ''}" if one.predictor.peft else "untuned"
        if is_on and name not in named:
            named.add(name)
            place = {"xytext": (-4, 4), "textcoords": "offset points", "ha": "right"}
            ax.annotate(name, (one.gflops, value), fontsize=6, **place)
        row = {"predictor": name_of(one.predictor, context), "gflops": one.gflops}
        row |= {"accuracy": value, "ci_low": low, "ci_high": high}
        rows.append(row | {"front": is_on, "recommended": is_chosen})
    ax.set_xlim(left=0)
    ax.set_xlabel("GFLOPs per image")
    return rows

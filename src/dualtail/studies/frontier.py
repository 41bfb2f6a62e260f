"""Accuracy against cost of everything that a run could deploy: a table, and a figure."""

from dualtail.paper.frontier import front, nine_group_worst, recommend
from dualtail.paper.layout import Table, grid
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.predictors import name_of
from dualtail.paper.style import BLUE, GRAY, VERMILION, PaperFigure, drawing

MARKS = {"Zero-shot": (GRAY, "o"), "Tuned": (BLUE, "s")}
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
            advice = recommend(lookup, dataset)
            ax.set_title(label)
            if advice is None:
                continue
            found, chosen = advice.candidates, advice.chosen
            on_front = front(found)
            line = [one for one, is_on in zip(found, on_front, strict=True) if is_on]
            named: set[str] = set()
            ax.step(
                [one.gflops for one in line],
                [one.accuracy.value for one in line],
                where="post",
                color=GRAY,
                lw=0.8,
            )
            for one, is_on in zip(found, on_front, strict=True):
                color, mark = MARKS["Zero-shot" if not one.predictor.peft else "Tuned"]
                low, high = (abs(one.accuracy.value - end) for end in one.accuracy[1:])
                ax.errorbar(
                    one.gflops,
                    one.accuracy.value,
                    yerr=[[low], [high]] if low == low else None,
                    fmt=mark,
                    ms=4,
                    lw=0.7,
                    color=VERMILION if one is chosen else color,
                    alpha=1.0 if is_on or one is chosen else 0.4,
                    zorder=3 if one is chosen else 2,
                )
                n = len(one.models)
                name = f"{n} model{'s' if n > 1 else ''}" if one.predictor.peft else "untuned"
                if is_on and name not in named:
                    named.add(name)
                    ax.annotate(
                        name,
                        (one.gflops, one.accuracy.value),
                        xytext=(-4, 4),
                        textcoords="offset points",
                        ha="right",
                        fontsize=6,
                    )
                row = {"dataset": label, "predictor": name_of(one.predictor, context)}
                row |= {"gflops": one.gflops}
                row |= dict(zip(("accuracy", "ci_low", "ci_high"), one.accuracy, strict=True))
                rows.append(row | {"front": is_on, "recommended": one is chosen})
            ax.set_xlim(left=0)
            ax.set_xlabel("GFLOPs per image")
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

"""Table and figure of the predictions under interventions (see `interventions` for the definitions)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dualtail.paper.layout import Table, grid
from dualtail.paper.style import MEMBERS, PaperFigure, drawing, legend_above
from dualtail.scores.bootstrap import Estimate
from dualtail.scores.class_means import class_means
from dualtail.studies.interventions import Distances

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("TV", "TV, corpus", "cross-entropy", "Brier", "change")
"""Of the fields of `Distances`, 100 times each."""

PREDICTION, DIFFERENCE = "prediction", "fused less single"


class Studied(NamedTuple):
    """One model on one dataset, both in words, as is its tuning."""

    dataset: str
    tuning: str
    model: str
    members: tuple[str, ...]
    """the models in it; more than one if fused"""
    labels: NDArray[np.int64]
    """(N,) classes of the creatures"""
    distances: Distances
    """(N,) each"""


def interventional_rows(
    studied: Sequence[Studied], replicates: int, seed: int
) -> dict[tuple[str, str, str, str], list[Estimate]]:
    """Return the numbers of every model, and of every fusion less each single model in it, paired."""
    values: dict[tuple[str, str, str, str], NDArray[np.float64]] = {}
    labels = {one.dataset: one.labels for one in studied}
    for dataset, tuning in dict.fromkeys((one.dataset, one.tuning) for one in studied):
        models = [one for one in studied if (one.dataset, one.tuning) == (dataset, tuning)]
        for one in models:
            values[dataset, tuning, PREDICTION, one.model] = 100.0 * np.stack(one.distances)
        for fused in models:
            for one in models:
                if len(fused.members) > 1 and one.members in [(m,) for m in fused.members]:
                    name = f"{fused.model} less {one.model}"
                    difference = 100.0 * np.stack(fused.distances) - 100.0 * np.stack(one.distances)
                    values[dataset, tuning, DIFFERENCE, name] = difference
    rows: dict[tuple[str, str, str, str], list[Estimate]] = {}
    n = len(COLUMNS)
    for dataset in labels:  # the rows of a dataset together: the resamples are drawn once
        chosen = [name for name in values if name[0] == dataset]
        stacked = np.concatenate([values[name] for name in chosen])
        means = class_means(stacked, labels[dataset], replicates, seed)
        rows |= {name: means[n * k : n * (k + 1)] for k, name in enumerate(chosen)}
    return rows


def interventional_table(rows: dict[tuple[str, str, str, str], list[Estimate]]) -> Table:
    """Lay out the rows of `interventional_rows`."""
    return Table(
        name="interventional",
        title="Predictions under interventions against the true P(Y|do(X))",
        caption=(
            "Test creatures drawn with both parts, the head only and the body only, everything else "
            "equal; either part tells the class, so the true P(Y|do(X)) has all mass on it, whatever "
            "is visible. Predictions are averaged over what is visible with its true frequencies in "
            "the dataset: total variation from the truth (TV, %), cross-entropy (nats) and Brier score, "
            "both times 100. "
            "TV, corpus: averaged with the frequencies of the corpus (the mean of the corpora) that "
            "the model was pre-trained on, in place of the true ones. Change: total variation (%) "
            "between the predictions with only the head and with only the body; the truth has 0."
        ),
        cells=grid(
            rows=list(rows.items()),
            columns=[((name,), k) for k, name in enumerate(COLUMNS)],
            row_names=["Dataset", "Tuning", "", "Model"],
            cell=lambda row, k: row[k],
        ),
        formats=dict.fromkeys(COLUMNS, "{:.1f}"),
        notes=(
            "Smaller is better everywhere; differences below 0 favor the fusion.",
            "All depend on how confident a model is. Fused by probabilities, TV is the mean of the "
            "single models' by definition; change and cross-entropy cannot exceed the mean of theirs.",
            "Deliberate in this world: which part the corpora mostly show, that either part tells the "
            "class, a stratified order of the classes, and a pre-training loss that keeps the prior.",
        ),
        interval_note=(
            "±: half the 95 % interval of a class-stratified bootstrap over creatures, paired for "
            "differences; the CSV file has both ends."
        ),
    )


def interventional_figure(
    rows: dict[tuple[str, str, str, str], list[Estimate]], fused: Sequence[str]
) -> PaperFigure:
    """Draw a panel per dataset: distance from the truth over change under the intervention.

    Of the last tuning of each dataset; `fused` are the models that are fusions, drawn as squares.
    """
    import pandas as pd

    last = {dataset: tuning for dataset, tuning, _, _ in rows}
    data = [
        {"dataset": d, "tuning": t, "model": m}
        | {
            f"{name}{end}": number
            for name, found in (("distance", numbers[0]), ("change", numbers[-1]))
            for end, number in zip(("", "_low", "_high"), found, strict=True)
        }
        for (d, t, what, m), numbers in rows.items()
        if what == PREDICTION and last[d] == t
    ]
    frame = pd.DataFrame(data)
    with drawing(2.6) as figure:
        axes = figure.subplots(1, len(last), sharex=True, sharey=True, squeeze=False)[0]
        for ax, dataset in zip(axes, last, strict=True):
            panel = frame[frame["dataset"] == dataset]
            for k, (_, row) in enumerate(panel.iterrows()):
                is_fused = row["model"] in fused
                ax.errorbar(
                    row["change"],
                    row["distance"],
                    xerr=_whiskers(row, "change"),
                    yerr=_whiskers(row, "distance"),
                    fmt="s" if is_fused else "o",
                    ms=4,
                    lw=0.8,
                    color=MEMBERS[k % len(MEMBERS)] if not is_fused else "black",
                    mfc="white" if is_fused and k % 2 else None,
                    label=row["model"],
                )
            ax.set_title(dataset)
            ax.set_xlabel("change under the intervention (%)")
        axes[0].set_ylabel("distance from the truth (%)")
        # Few images give no interval: then the values themselves are the ends.
        axes[0].set_xlim(0, 1.08 * frame[["change", "change_high"]].max().max())
        axes[0].set_ylim(0, 1.08 * frame[["distance", "distance_high"]].max().max())
        legend_above(axes[0])
    return PaperFigure(
        name="interventional",
        title="Distance from the true P(Y|do(X)) over the change under the intervention",
        caption=(
            "Total variation (%), with 95 % intervals, of models tuned with "
            f"{' / '.join(dict.fromkeys(last.values()))}; the truth is at the origin."
        ),
        figure=figure,
        data=frame,
    )


def _whiskers(row: "pd.Series", name: str) -> list[list[float]]:
    """Lengths below and above; few replicates can leave the value outside its interval."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return [[max(row[name] - low, 0.0)], [max(high - row[name], 0.0)]]

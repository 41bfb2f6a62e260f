"""Class accuracies in the order of a prior: their rows and their smoothing (Figures 3 and 9)."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dualtail.errors import UserError
from dualtail.paper.lookup import SPLIT, Predictor, ScoreLookup
from dualtail.paper.style import marks

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

SMOOTHING = 1 / 20
"""Standard deviation of the smoothing kernel, as a share of the number of classes."""


def smooth(values: np.ndarray, width: float) -> np.ndarray:
    """Return the moving average of (C,) values under a Gaussian of `width` positions.

    Near the ends the weights that fall outside are left out and the others scaled to sum 1, so that
    a constant stays as it is. NaN (a class without test images) is left out the same way.
    """
    distances = np.arange(1 - values.size, values.size)
    kernel = np.exp(-0.5 * (distances / width) ** 2)
    # Sums over all pairs of classes, without a matrix of them (8,142 classes: 0.5 GB).
    known = (~np.isnan(values)).astype(float)
    totals, weights = (np.convolve(kernel, x, "valid") for x in (np.nan_to_num(values), known))
    return totals / weights


def smoothing_width(n_classes: int) -> float:
    """Return the kernel's standard deviation in classes: a share of them, at least one."""
    return max(1.0, SMOOTHING * n_classes)


def smoothing_in_words(*n_classes: int) -> str:
    """Return what the lines of panels with so many classes are."""
    widths = dict.fromkeys(f"{smoothing_width(n):g}" for n in n_classes)
    return (
        "Lines: Gaussian moving average over the rank with a standard deviation of "
        f"{' and '.join(widths)} classes, its weights renormalized at the ends."
    )


class Look(NamedTuple):
    """How a curve is drawn."""

    color: str
    dash: "str | tuple" = "-"
    marker: str = "."


def draw_curve(ax: "Axes", classes: "pd.DataFrame", label: str, look: Look) -> None:
    """Draw rows of `sorted_classes`: a mark per class, and the smoothed line."""
    style = marks(len(classes), 4 if look.marker == "." else 3, 0.4)
    ax.plot(classes["rank"], classes["accuracy"], look.marker, color=look.color, **style)
    ax.plot(classes["rank"], classes["smoothed"], ls=look.dash, color=look.color, label=label)
    ax.set_xlim(0.5, len(classes) + 0.5)


def sorted_classes(
    lookup: ScoreLookup, dataset: str, predictor: Predictor, key: str
) -> "pd.DataFrame":
    """Return one row per class, in descending order of `key`: the mean accuracy over seeds.

    Columns: rank, class_index, class_name, train_count, q, accuracy, smoothed. Ties (equal training
    counts) stay in the order of the class index. A class without test images has accuracy NaN.

    Raises:
        UserError: the class accuracies lack the outputs, or the key.
    """
    context = lookup.context
    rows = lookup.test_classes(dataset)
    for name, value in predictor._asdict().items():
        rows = rows[rows[name] == value]
    seeds = context.seeds_of(dataset, SPLIT, predictor.peft, predictor.loss)
    rows = rows[rows["seed"].isna() | rows["seed"].isin(seeds)]
    if rows.empty:
        raise UserError(
            f"the class accuracies of run {context.run!r} lack {predictor.describe()!r} on "
            f"{dataset}/{SPLIT}: make these outputs and score them"
        )
    classes = rows.groupby("class_index", as_index=False).agg(
        {"class_name": "first", "train_count": "first", "q": "first", "accuracy": "mean"}
    )
    if classes[key].isna().any():
        raise UserError(f"the class accuracies on {dataset} lack {key}")
    ordered = classes.sort_values(key, ascending=False, kind="stable", ignore_index=True)
    smoothed = smooth(ordered["accuracy"].to_numpy(float), smoothing_width(len(ordered)))
    return ordered.assign(rank=np.arange(1, len(ordered) + 1), smoothed=smoothed)

"""Class accuracies in the order of a prior: their rows and their smoothing (Figures 3 and 9)."""

from typing import TYPE_CHECKING

import numpy as np

from dualtail.errors import UserError
from dualtail.paper.lookup import SPLIT, Predictor, ScoreLookup

if TYPE_CHECKING:
    import pandas as pd

SMOOTHING = 1 / 20
"""Standard deviation of the smoothing kernel, as a share of the number of classes."""


def smooth(values: np.ndarray, width: float) -> np.ndarray:
    """Return the moving average of (C,) values under a Gaussian of `width` positions.

    Near the ends the weights that fall outside are left out and the others scaled to sum 1, so that
    a constant stays as it is. NaN (a class without test images) is left out the same way.
    """
    positions = np.arange(values.size)
    kernel = np.exp(-0.5 * ((positions[:, None] - positions[None, :]) / width) ** 2)
    kernel *= ~np.isnan(values)
    return (kernel @ np.nan_to_num(values)) / kernel.sum(axis=1)


def smoothing_width(n_classes: int) -> float:
    """Return the kernel's standard deviation in classes: a share of them, at least one."""
    return max(1.0, SMOOTHING * n_classes)


def sorted_classes(
    lookup: ScoreLookup, dataset: str, predictor: Predictor, key: str
) -> "pd.DataFrame":
    """Return one row a class, in descending order of `key`: the mean accuracy over seeds.

    Columns: rank, class_index, class_name, the key (train_count or q), accuracy, smoothed. Ties (equal
    training counts) stay in the order of the class index.

    Raises:
        UserError: the class accuracies lack the outputs, or the key.
    """
    import pandas as pd

    context = lookup.context
    rows = lookup.per_class
    for name, value in (predictor._asdict() | {"dataset": dataset, "split": SPLIT}).items():
        rows = rows[rows[name] == value]
    seeds = context.seeds_of(dataset, SPLIT, predictor.peft)
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
    ordered = classes.sort_values(key, ascending=False, kind="stable")
    columns = {name: ordered[name].to_numpy() for name in ("class_index", "class_name", key)}
    smoothed = smooth(ordered["accuracy"].to_numpy(float), smoothing_width(len(ordered)))
    columns |= {"accuracy": ordered["accuracy"].to_numpy(), "smoothed": smoothed}
    return pd.DataFrame({"rank": np.arange(1, len(ordered) + 1), **columns})

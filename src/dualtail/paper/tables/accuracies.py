"""Cells of the tables of accuracies: by methods and groups, or by models, datasets and groups."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from dualtail.paper.layout import grid
from dualtail.paper.lookup import Predictor, ScoreLookup
from dualtail.scores.schema import SCHEME_GROUPS

if TYPE_CHECKING:
    import pandas as pd

D_AND_OVERALL = (*SCHEME_GROUPS["D"], "Overall")


def of_methods(
    lookup: ScoreLookup,
    methods: Mapping[str, Predictor],
    groups: Sequence[str] = D_AND_OVERALL,
    name: str = "Method",
    datasets: Iterable[str] | None = None,
) -> "pd.DataFrame":
    """A row per dataset and method, a column per group (Tables 3, 4 and 12)."""
    labels = lookup.context.datasets
    return grid(
        rows=[
            ((labels[dataset], label), (dataset, predictor))
            for dataset in datasets or labels
            for label, predictor in methods.items()
        ],
        columns=[((group,), group) for group in groups],
        row_names=["Dataset", name],
        cell=lambda row, group: lookup.get(*row, group=group),
    )


def of_models(
    lookup: ScoreLookup,
    rows: Sequence[tuple[tuple[str, ...], Predictor]],
    groups: Sequence[str],
    row_names: Sequence[str],
) -> "pd.DataFrame":
    """A row per predictor, a column per dataset and group (Tables 1, 8 and 11)."""
    return grid(
        rows=rows,
        columns=[
            ((label, group), (dataset, group))
            for dataset, label in lookup.context.datasets.items()
            for group in groups
        ],
        row_names=row_names,
        cell=lambda model, column: lookup.get(column[0], model, group=column[1]),
    )


def with_those_scored(
    lookup: ScoreLookup,
    methods: dict[str, Predictor],
    more: Mapping[str, Predictor],
    datasets: Iterable[str] | None = None,
) -> dict[str, Predictor]:
    """Methods, and those of `more` that the scores have for every dataset."""
    shown = list(datasets or lookup.context.datasets)
    return methods | {
        label: predictor
        for label, predictor in more.items()
        if all(lookup.find(dataset, predictor) for dataset in shown)
    }

"""Every predictor of a run, also those that no table of the paper shows: losses and PEFTs of one's own."""

from typing import Any

from dualtail.errors import UserError
from dualtail.paper.layout import Table, grid
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.predictors import name_of, predictors_of
from dualtail.scores.schema import SCHEME_GROUPS

NAME = "all_predictors"


def build(lookup: ScoreLookup) -> Table:
    """Lay out a row per dataset and predictor; Overall, D-groups, P-groups and macro F1 as columns."""
    context = lookup.context
    rows: list[tuple[tuple[str, ...], Any]] = [
        ((label, name_of(predictor, context)), (dataset, predictor))
        for dataset, label in context.datasets.items()
        for predictor in predictors_of(lookup, dataset)
    ]
    if not rows:
        raise UserError(f"the scores of run {context.run!r} have no accuracy of a dataset of it")
    groups = ("Overall", *SCHEME_GROUPS["D"], *SCHEME_GROUPS["P"])
    columns: list[tuple[tuple[str, ...], Any]] = [((g,), (g, "accuracy")) for g in groups]
    columns.append((("Macro F1",), ("Overall", "macro_f1")))
    return Table(
        name=NAME,
        title="Every predictor of this run",
        caption=(
            "Accuracy (%, mean over classes) on the test split, over all classes and by groups, and macro "
            "F1 (%)."
        ),
        cells=grid(
            rows,
            columns,
            ["Dataset", "Predictor"],
            lambda row, column: lookup.find(row[0], row[1], column[1], column[0]),
        ),
        best=True,
        best_within="Dataset",
        formats={label: "{:.1f}" for (label,), _ in columns},
        notes=tuple(context.seeds_note(*context.pefts)),
    )

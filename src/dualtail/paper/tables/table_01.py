"""Table 1: zero-shot accuracy of every foundation model, by D-group."""

from typing import TYPE_CHECKING

from dualtail.paper.context import PaperContext
from dualtail.paper.layout import Table, grid
from dualtail.paper.lookup import ScoreLookup, zero_shot
from dualtail.scores.schema import SCHEME_GROUPS

if TYPE_CHECKING:
    import pandas as pd


def build(scores: "pd.DataFrame", context: PaperContext) -> Table:
    """Lay out the table: a row a model, D-groups of every dataset as columns.

    Raises:
        UserError: the scores lack zero-shot outputs.
    """
    lookup = ScoreLookup(scores, context)
    members = list(context.members)
    columns = [(dataset, group) for dataset in context.datasets for group in SCHEME_GROUPS["D"]]
    return Table(
        number=1,
        title="Zero-shot accuracy by data group",
        caption=(
            "Accuracy (%, mean over classes) of the foundation models before any tuning. D-groups "
            "go by downstream training images, which these models have not seen."
        ),
        cells=grid(
            rows=[(context.members[member],) for member in members],
            columns=[(context.datasets[dataset], group) for dataset, group in columns],
            row_names=["Model"],
            cell=lambda i, j: lookup.get(columns[j][0], zero_shot(members[i]), group=columns[j][1]),
        ),
    )

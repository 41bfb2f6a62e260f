"""Table 12: decoupling, the PEFT tuned with CE and a head re-trained with LA, against LA at once."""

from typing import TYPE_CHECKING

from dualtail.paper.context import PaperContext
from dualtail.paper.layout import Table, grid
from dualtail.paper.lookup import ScoreLookup, tuned
from dualtail.scores.schema import SCHEME_GROUPS

if TYPE_CHECKING:
    import pandas as pd

METHODS = {"LA": "la", "Decoupling": "decoupling"}
"""Rows -> entries of `losses`."""
COLUMNS = (*SCHEME_GROUPS["D"], "Overall")


def build(scores: "pd.DataFrame", context: PaperContext) -> Table:
    """Lay out the table: a row a dataset and method; D-groups and Overall as columns.

    Raises:
        UserError: the scores lack one of the tunings.
    """
    lookup = ScoreLookup(scores, context)
    member, peft = context.first_member, context.first_peft
    rows = [(dataset, method) for dataset in context.datasets for method in METHODS]
    return Table(
        number=12,
        title="Decoupled training",
        caption=(
            f"Accuracy (%, mean over classes) of {context.members[member]} tuned with "
            f"{context.pefts[peft]}: with logit adjustment from the start, and with cross entropy "
            "followed by a new head that alone is trained with logit adjustment."
        ),
        cells=grid(
            rows=[(context.datasets[dataset], method) for dataset, method in rows],
            columns=[(column,) for column in COLUMNS],
            row_names=["Dataset", "Method"],
            cell=lambda i, j: lookup.get(
                rows[i][0], tuned(member, peft, METHODS[rows[i][1]]), group=COLUMNS[j]
            ),
        ),
        best="max",
        best_within="Dataset",
        notes=tuple(context.seeds_note()),
    )

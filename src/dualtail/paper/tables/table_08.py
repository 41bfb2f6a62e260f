"""Table 8: single models and their fusion (backdoor adjustment, Eq. 7), tuned with LA."""

from typing import TYPE_CHECKING

from dualtail.bias.member_sets import ALL_SETS_UP_TO
from dualtail.paper.context import PaperContext
from dualtail.paper.layout import Table, grid
from dualtail.paper.lookup import ScoreLookup, fused
from dualtail.scores.schema import SCHEME_GROUPS

if TYPE_CHECKING:
    import pandas as pd

FUSIONS = {"logits": "Fused, logits", "probabilities": "Fused, probabilities"}
GROUPS = (*SCHEME_GROUPS["D"], "Overall")


def build(scores: "pd.DataFrame", context: PaperContext) -> Table:
    """Lay out the table for the first PEFT entry.

    Raises:
        UserError: the scores lack tuned or fused outputs.
    """
    return lay_out(scores, context, number=8, peft=context.first_peft)


def lay_out(scores: "pd.DataFrame", context: PaperContext, *, number: int, peft: str) -> Table:
    """Lay out the table for one PEFT entry: a row a set of members, for both fusion modes.

    Args:
        scores: The score table.
        context: Names, order, roles.
        number: Number of the table.
        peft: Key of the PEFT entry.

    Raises:
        UserError: the scores lack tuned or fused outputs.
    """
    lookup = ScoreLookup(scores, context)
    subsets = context.subsets()
    rows = [("Single", "logits", subset) for subset in subsets if len(subset) == 1]
    for mode, label in FUSIONS.items():
        rows += [(label, mode, subset) for subset in subsets if len(subset) > 1]
    columns = [(dataset, group) for dataset in context.datasets for group in GROUPS]

    def cell(i: int, j: int) -> object:
        _, mode, subset = rows[i]
        dataset, group = columns[j]
        return lookup.get(dataset, fused(subset, peft, "la", mode), group=group)

    notes = [
        "The paper's rows are the single models and the fusion of logits; Eq. 7 itself averages "
        "probabilities. Overall is not in the paper's table.",
        *context.seeds_note(peft),
    ]
    if len(context.members) > ALL_SETS_UP_TO:
        notes.append("Shown are single models, pairs, all but one, and all.")
    return Table(
        number=number,
        title="Backdoor adjustment over sets of foundation models",
        caption=(
            f"Accuracy (%, mean over classes) of models tuned with {context.pefts[peft]} and LA, "
            "alone and fused with equal weights."
        ),
        cells=grid(
            rows=[(label, context.members_label("+".join(subset))) for label, _, subset in rows],
            columns=[(context.datasets[dataset], group) for dataset, group in columns],
            row_names=["Prediction", "Models"],
            cell=cell,
        ),
        best="max",
        notes=tuple(notes),
    )

"""Table 3: generalized logit adjustment, its two halves, and its trained version."""

from typing import TYPE_CHECKING

from dualtail.paper.context import PaperContext
from dualtail.paper.layout import Table, grid
from dualtail.paper.lookup import Predictor, ScoreLookup, tuned
from dualtail.paper.variants import GLA_FIRST, GLA_TRAIN
from dualtail.scores.schema import SCHEME_GROUPS

if TYPE_CHECKING:
    import pandas as pd

TRAINED = {"GLA-Train": GLA_TRAIN, "GLA-Train, first stage": GLA_FIRST}
"""Rows of tuned models -> entries of `losses`."""
COLUMNS = (*SCHEME_GROUPS["D"], *SCHEME_GROUPS["P"], "Overall")


def gla_methods(member: str, peft: str) -> dict[str, Predictor]:
    """Return the post-hoc rows of the table: label -> whose predictions (Eq. 4).

    GLA-ZS does not use the tuned model; its outputs bear the tuning that they stand beside.
    """
    names = {"GLA": "gla", "GLA-ZS": "gla-zs", "GLA-FT": "gla-ft"}
    return {label: Predictor("adjusted", member, peft, "ce", name) for label, name in names.items()}


def build(scores: "pd.DataFrame", context: PaperContext) -> Table:
    """Lay out the table: a row a dataset and method; D-groups, P-groups, Overall as columns.

    GLA-Train is a row where the scores have it for every dataset, and so is its first stage alone:
    Eq. 6 before the head is trained anew.

    Raises:
        UserError: the scores lack adjusted outputs.
    """
    lookup = ScoreLookup(scores, context)
    member, peft = context.first_member, context.first_peft
    methods = gla_methods(member, peft)
    for label, loss in TRAINED.items():
        trained = tuned(member, peft, loss)
        if all(lookup.find(dataset, trained) for dataset in context.datasets):
            methods[label] = trained
    rows = [(dataset, method) for dataset in context.datasets for method in methods]
    return Table(
        number=3,
        title="Generalized logit adjustment by data and parameter groups",
        caption=(
            f"Accuracy (%, mean over classes) of {context.members[member]} tuned with "
            f"{context.pefts[peft]}. D-groups go by training images, P-groups by the estimated "
            "pre-training prior q."
        ),
        cells=grid(
            rows=[(context.datasets[dataset], method) for dataset, method in rows],
            columns=[(column,) for column in COLUMNS],
            row_names=["Dataset", "Method"],
            cell=lambda i, j: lookup.get(rows[i][0], methods[rows[i][1]], group=COLUMNS[j]),
        ),
        best="max",
        best_within="Dataset",
        notes=(
            "GLA = f_zs - log q + f_CE - log pi_S (Eq. 4); GLA-ZS = f_zs - log q; "
            "GLA-FT = f_CE - log pi_S.",
            *context.seeds_note(),
        ),
    )

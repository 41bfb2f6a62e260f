"""Table 2: average accuracy gap (Eq. 5) between foundation models."""

from itertools import combinations
from typing import TYPE_CHECKING

from dualtail.errors import UserError
from dualtail.paper.context import PaperContext
from dualtail.paper.layout import Table, grid
from dualtail.paper.lookup import Predictor, ScoreLookup, over, tuned, zero_shot

if TYPE_CHECKING:
    import pandas as pd


def build(scores: "pd.DataFrame", context: PaperContext) -> Table:
    """Lay out the table: a row a PEFT and pair of models; zero-shot, CE and LA as columns.

    Raises:
        UserError: a single member, or the scores lack outputs.
    """
    if len(context.members) < 2:
        raise UserError("table 2 compares foundation models: study.members needs at least two")
    lookup = ScoreLookup(scores, context)
    dataset = context.places
    pairs = list(combinations(context.members, 2))
    rows = [(peft, pair) for peft in context.pefts for pair in pairs]

    def cell(i: int, j: int) -> object:
        peft, (one, two) = rows[i]

        def of(member: str) -> Predictor:
            return zero_shot(member) if j == 0 else tuned(member, peft, ("ce", "la")[j - 1])

        return lookup.get(dataset, over(of(one), of(two)), "average_gap")

    return Table(
        number=2,
        title="Average accuracy gap between foundation models",
        caption=(
            f"Mean over classes of the absolute difference in accuracy (percentage points) on "
            f"{context.datasets[dataset]}: zero-shot (ZS) and tuned with CE or LA."
        ),
        cells=grid(
            rows=[(context.pefts[peft], context.members_label("|".join(p))) for peft, p in rows],
            columns=[("ZS",), ("CE",), ("LA",)],
            row_names=["PEFT", "Models"],
            cell=cell,
        ),
        notes=(
            "Sampling noise alone makes two equally good models differ: the gap is never 0 on a "
            "finite test set, and it grows as the images per class get fewer.",
            *context.seeds_note(*context.pefts),
        ),
    )

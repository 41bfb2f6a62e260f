"""Table 2: average accuracy gap (Eq. 5) between foundation models."""

from itertools import combinations

from dualtail.errors import UserError
from dualtail.paper.layout import Table, grid
from dualtail.paper.lookup import ScoreLookup, over, tuned, zero_shot

WHAT = {"Eq. 5": "average_gap", "Without noise": "gap_without_noise"}
"""Heading -> metric."""


def build(lookup: ScoreLookup) -> Table:
    """Lay out the table: a row per PEFT and pair of models; zero-shot, CE and LA as columns."""
    context = lookup.context
    if len(context.members) < 2:
        raise UserError("table 2 compares foundation models: study.members needs at least two")
    dataset = context.places

    def gap(row: tuple[str, tuple[str, str]], column: tuple[str, str]) -> object:
        (peft, pair), (metric, loss) = row, column
        one, two = (tuned(m, peft, loss) if loss else zero_shot(m) for m in pair)
        return lookup.get(dataset, over(one, two), metric)

    return Table(
        number=2,
        title="Average accuracy gap between foundation models",
        caption=(
            f"Mean over classes of the absolute difference in accuracy (percentage points) on "
            f"{context.datasets[dataset]}, as Eq. 5 has it: zero-shot (ZS) and tuned with CE or LA. Beside "
            "it the root mean square over classes of the difference, without the noise of the images."
        ),
        cells=grid(
            rows=[
                ((label, context.members_label("|".join(pair))), (peft, pair))
                for peft, label in context.pefts.items()
                for pair in combinations(context.members, 2)
            ],
            columns=[
                ((what, label), (metric, loss))
                for what, metric in WHAT.items()
                for label, loss in (("ZS", ""), ("CE", "ce"), ("LA", "la"))
            ],
            row_names=["PEFT", "Models"],
            cell=gap,
        ),
        notes=(
            "Sampling noise alone makes two equally good models differ: the gap is never 0 on a "
            "finite test set, it grows as the images per class get fewer, and shrinks as accuracy grows. "
            "Columns without noise take it out: each squared difference less the variance of its estimate.",
            *context.seeds_note(*context.pefts),
        ),
    )

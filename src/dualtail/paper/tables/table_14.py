"""Table 14: imbalance factor of the estimated pre-training priors."""

from typing import TYPE_CHECKING

from dualtail.paper.context import PaperContext
from dualtail.paper.layout import Table, grid
from dualtail.paper.lookup import Predictor, ScoreLookup
from dualtail.paper.truth import is_known, recovery

if TYPE_CHECKING:
    import pandas as pd


def build(scores: "pd.DataFrame", context: PaperContext) -> Table:
    """Lay out the table: a row a dataset, a column a model; the truth below where it is known.

    Raises:
        UserError: the scores lack the imbalance factor of a prior.
    """
    lookup = ScoreLookup(scores, context)
    members = list(context.members)
    splits = {dataset: prior_split(context, dataset) for dataset in context.datasets}
    said = ", ".join(f"{s!r} ({context.datasets[d]})" for d, s in splits.items())
    if len(set(splits.values())) == 1:
        said = repr(next(iter(splits.values())))
    rows = []
    for dataset in context.datasets:
        rows.append((dataset, "estimated"))
        if all(is_known(context.priors.get((dataset, member))) for member in members):
            rows.append((dataset, "true"))

    def cell(i: int, j: int) -> object:
        dataset, which = rows[i]
        if which == "true":
            return recovery(context.priors[dataset, members[j]]).true_imbalance_factor
        predictor = Predictor("prior", members[j])
        return lookup.get(dataset, predictor, "imbalance_factor", split=splits[dataset])

    return Table(
        number=14,
        title="Imbalance factor of the pre-training priors",
        caption=(
            "Largest over smallest class probability, max q / min q, of the prior estimated from "
            f"zero-shot outputs on the split {said}."
        ),
        cells=grid(
            rows=[(context.datasets[dataset], which) for dataset, which in rows],
            columns=[(context.members[member],) for member in members],
            row_names=["Dataset", "Prior"],
            cell=cell,
        ),
        formats=dict.fromkeys(context.members.values(), "{:.1f}"),
        notes=("A ratio of two extremes: it grows with the noise of the estimate.",),
        interval_note="±: half the 95 % bootstrap interval; the CSV file has both ends.",
    )


def prior_split(context: PaperContext, dataset: str) -> str:
    """Return the split on which a dataset's priors were estimated."""
    own = context.config.get("datasets", {}).get(dataset, {})
    return own.get("prior_split") or context.config.get("prior", {}).get("split", "val")

"""Table 14: imbalance factor of the estimated pre-training priors."""

from dualtail.paper.layout import Table, grid
from dualtail.paper.lookup import Predictor, ScoreLookup
from dualtail.paper.truth import is_known, recovery


def build(lookup: ScoreLookup) -> Table:
    """Lay out the table: a row per dataset, a column per model; the truth below where it is known."""
    context = lookup.context
    splits = {dataset: context.prior_split(dataset) for dataset in context.datasets}
    said = ", ".join(f"{s!r} ({context.datasets[d]})" for d, s in splits.items())
    if len(set(splits.values())) == 1:
        said = repr(next(iter(splits.values())))
    rows = []
    for dataset, label in context.datasets.items():
        rows.append(((label, "estimated"), (dataset, False)))
        if all(is_known(context.priors.get((dataset, member))) for member in context.members):
            rows.append(((label, "true"), (dataset, True)))

    def cell(row: tuple[str, bool], member: str) -> object:
        dataset, is_truth = row
        if is_truth:
            return recovery(context.priors[dataset, member]).true_imbalance_factor
        predictor = Predictor("prior", member)
        return lookup.get(dataset, predictor, "imbalance_factor", split=splits[dataset])

    return Table(
        number=14,
        title="Imbalance factor of the pre-training priors",
        caption=(
            "Largest over smallest class probability, max q / min q, of the prior estimated from "
            f"zero-shot outputs on the split {said}."
        ),
        cells=grid(
            rows=rows,
            columns=[((label,), member) for member, label in context.members.items()],
            row_names=["Dataset", "Prior"],
            cell=cell,
        ),
        formats=dict.fromkeys(context.members.values(), "{:.1f}"),
        notes=(
            "A ratio of two extremes: it grows with the noise of the estimate, and no interval covers it. "
            "Intervals of each class' q: priors.csv.",
        ),
    )

"""Table 13: training sets whose counts follow the pre-training prior, oppose it, or are flat."""

import statistics

from dualtail.datasets.settings import ORDERS
from dualtail.paper.layout import Table, grid
from dualtail.paper.lookup import ScoreLookup, mean_estimate, tuned


def build(lookup: ScoreLookup) -> Table:
    """Lay out the table: a row per sample, their mean, and their spread; a column per order."""
    context = lookup.context
    study = context.reordered_sets()
    predictor = tuned(study.member, study.peft, study.loss)
    columns = {}
    for order in ORDERS:
        found = [lookup.get(name, predictor) for name in study.datasets[order]]
        values = [estimate.value for estimate in found]
        deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
        columns[order] = [*found, mean_estimate(found), deviation]
    samples = len(columns["balance"]) - 2
    rows = [f"Sample {i + 1}" for i in range(samples)] + ["Mean", "Standard deviation"]
    return Table(
        number=13,
        title="Training sets that agree or disagree with the pre-training prior",
        caption=(
            f"Overall accuracy (%, mean over classes) on {context.datasets[study.parent]} of "
            f"{context.members[study.member]} tuned with {context.pefts[study.peft]} and "
            f"{study.loss.upper()} on training sets of equal size drawn from one pool: counts in the "
            "order of q, in the opposite order, and equal."
        ),
        cells=grid(
            rows=[((row,), i) for i, row in enumerate(rows)],
            columns=[((order.capitalize(),), columns[order]) for order in ORDERS],
            row_names=["Training set"],
            cell=lambda i, column: column[i],
        ),
        notes=(
            "The paper's table calls Consistency 'Uniform'. q is that of the same model, estimated "
            "from its zero-shot outputs.",
        ),
    )

"""Table 13: training sets whose counts follow the pre-training prior, oppose it, or are flat."""

from typing import TYPE_CHECKING

import numpy as np

from dualtail.datasets.settings import ORDERS
from dualtail.paper.context import PaperContext
from dualtail.paper.layout import Table, grid
from dualtail.paper.lookup import Cell, ScoreLookup, tuned

if TYPE_CHECKING:
    import pandas as pd

LABELS = {"consistency": "Consistency", "reverse": "Reverse", "balance": "Balance"}


def build(scores: "pd.DataFrame", context: PaperContext) -> Table:
    """Lay out the table: a row a sample, their mean, and their spread; a column an order.

    Raises:
        UserError: the scores lack one of the tunings.
    """
    lookup = ScoreLookup(scores, context)
    study = context.reordered_sets()
    predictor = tuned(study.member, study.peft, study.loss)
    found = {
        order: [lookup.get(name, predictor) for name in study.datasets[order]] for order in ORDERS
    }
    samples = len(found["balance"])
    rows = [f"Sample {i + 1}" for i in range(samples)] + ["Mean", "Standard deviation"]

    def cell(i: int, j: int) -> object:
        cells = found[ORDERS[j]]
        if i < samples:
            return cells[i]
        if i == samples:
            return Cell(*np.mean(np.array(cells), axis=0).tolist())
        return float(np.std([c.value for c in cells], ddof=1)) if samples > 1 else float("nan")

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
            rows=[(row,) for row in rows],
            columns=[(LABELS[order],) for order in ORDERS],
            row_names=["Training set"],
            cell=cell,
        ),
        notes=(
            "The paper's table calls Consistency 'Uniform'. q is that of the same model, estimated "
            "from its zero-shot outputs.",
        ),
    )

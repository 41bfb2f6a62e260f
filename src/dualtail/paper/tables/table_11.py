"""Table 11: Table 8 for the second PEFT entry (VPT in the paper)."""

from typing import TYPE_CHECKING

from dualtail.errors import UserError
from dualtail.paper.context import PaperContext
from dualtail.paper.layout import Table
from dualtail.paper.tables.table_08 import lay_out

if TYPE_CHECKING:
    import pandas as pd


def build(scores: "pd.DataFrame", context: PaperContext) -> Table:
    """Lay out the table.

    Raises:
        UserError: the run has a single PEFT entry, or the scores lack outputs.
    """
    pefts = list(context.pefts)
    if len(pefts) < 2:
        raise UserError("table 11 shows a second PEFT method: study.pefts needs at least two")
    return lay_out(scores, context, number=11, peft=pefts[1])

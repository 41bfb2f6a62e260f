"""Table 7: Table 5 for iNaturalist2018."""

from typing import TYPE_CHECKING

from dualtail.paper.context import PaperContext
from dualtail.paper.layout import Table
from dualtail.paper.tables.table_05 import lay_out

if TYPE_CHECKING:
    import pandas as pd


def build(scores: "pd.DataFrame", context: PaperContext) -> Table:
    """Lay out the table for the dataset in the role of iNaturalist2018.

    Raises:
        UserError: no dataset has that role, or the scores lack outputs or costs.
    """
    return lay_out(scores, context, number=7, role="inat2018")

"""Table 8: sets of foundation models and their fusion, of the first PEFT entry."""

from dualtail.paper.layout import Table
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.tables.sets_of_models import sets_of_models


def build(lookup: ScoreLookup) -> Table:
    """Lay out the table.

    Raises:
        UserError: the scores lack tuned or fused outputs.
    """
    return sets_of_models(lookup, 8, lookup.context.first_peft)

"""Table 11: as Table 8, of the second PEFT entry."""

from dualtail.errors import UserError
from dualtail.paper.layout import Table
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.tables.sets_of_models import sets_of_models


def build(lookup: ScoreLookup) -> Table:
    """Lay out the table.

    Raises:
        UserError: the run has a single PEFT entry, or the scores lack tuned or fused outputs.
    """
    _, *others = lookup.context.pefts
    if not others:
        raise UserError("table 11 shows a second PEFT method: study.pefts needs at least two")
    return sets_of_models(lookup, 11, others[0])

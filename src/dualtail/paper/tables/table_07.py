"""Table 7: published methods and this run's, iNaturalist2018."""

from dualtail.paper.layout import Table
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.tables.published_methods import beside_published


def build(lookup: ScoreLookup) -> Table:
    """Lay out the table.

    Raises:
        UserError: no dataset takes the place of iNaturalist2018, or the scores lack outputs or costs.
    """
    return beside_published(lookup, 7, "inat2018")

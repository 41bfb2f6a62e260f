"""Table 6: published methods and this run's, ImageNet-LT."""

from dualtail.paper.layout import Table
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.tables.published_methods import beside_published


def build(lookup: ScoreLookup) -> Table:
    """Lay out the table.

    Raises:
        UserError: no dataset takes the place of ImageNet-LT, or the scores lack outputs or costs.
    """
    return beside_published(lookup, 6, "imagenet_lt")

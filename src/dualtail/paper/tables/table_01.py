"""Table 1: zero-shot accuracy of every foundation model, by D-group."""

from dualtail.paper.layout import Table
from dualtail.paper.lookup import ScoreLookup, zero_shot
from dualtail.paper.tables.accuracies import of_models
from dualtail.scores.schema import SCHEME_GROUPS


def build(lookup: ScoreLookup) -> Table:
    """Lay out the table: a row per model, D-groups of every dataset as columns."""
    rows = [((label,), zero_shot(member)) for member, label in lookup.context.members.items()]
    return Table(
        number=1,
        title="Zero-shot accuracy by data group",
        caption=(
            "Accuracy (%, mean over classes) of the foundation models before any tuning. D-groups "
            "go by downstream training images, which these models have not seen."
        ),
        cells=of_models(lookup, rows, SCHEME_GROUPS["D"], ["Model"]),
    )

"""Table 12: decoupling, the PEFT tuned with CE and a head re-trained with LA, against LA at once."""

from dualtail.paper.layout import Table
from dualtail.paper.lookup import DECOUPLING, ScoreLookup, tuned
from dualtail.paper.predictors import further_losses
from dualtail.paper.tables.accuracies import of_methods, with_those_scored


def build(lookup: ScoreLookup) -> Table:
    """Lay out the table: a row per dataset and method; D-groups and Overall as columns.

    Further losses of the study have rows of their own.
    """
    context = lookup.context
    member, peft = context.first_member, context.first_peft
    methods = {"LA": tuned(member, peft, "la"), "Decoupling": tuned(member, peft, DECOUPLING)}
    return Table(
        number=12,
        title="Decoupled training",
        caption=(
            f"Accuracy (%, mean over classes) of {context.members[member]} tuned with "
            f"{context.pefts[peft]}: with logit adjustment from the start, and with cross entropy "
            "followed by a new head that alone is trained with logit adjustment."
        ),
        cells=of_methods(lookup, with_those_scored(lookup, methods, further_losses(lookup))),
        best=True,
        best_within="Dataset",
        notes=tuple(context.seeds_note()),
    )

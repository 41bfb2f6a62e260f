"""Table 3: generalized logit adjustment, its two halves, and its trained version."""

from dualtail.paper.layout import Table
from dualtail.paper.lookup import GLA_FIRST, GLA_TRAIN, ScoreLookup, gla_methods, tuned
from dualtail.paper.predictors import further_losses
from dualtail.paper.tables.accuracies import of_methods, with_those_scored
from dualtail.scores.schema import SCHEME_GROUPS

TRAINED = {"GLA-Train": GLA_TRAIN, "GLA-Train, first stage": GLA_FIRST}
"""Rows of tuned models -> entries of `losses`."""


def build(lookup: ScoreLookup) -> Table:
    """Lay out the table: a row per dataset and method; D-groups, P-groups, Overall as columns.

    Further losses of the study have rows of their own.

    GLA-Train is a row where the scores have it for every dataset, and so is its first stage alone:
    Eq. 6 before the head is trained anew.
    """
    context = lookup.context
    member, peft = context.first_member, context.first_peft
    trained = {label: tuned(member, peft, loss) for label, loss in TRAINED.items()}
    return Table(
        number=3,
        title="Generalized logit adjustment by data and parameter groups",
        caption=(
            f"Accuracy (%, mean over classes) of {context.members[member]} tuned with "
            f"{context.pefts[peft]}. D-groups go by training images, P-groups by the estimated "
            "pre-training prior q."
        ),
        cells=of_methods(
            lookup,
            with_those_scored(lookup, gla_methods(member, peft), trained | further_losses(lookup)),
            (*SCHEME_GROUPS["D"], *SCHEME_GROUPS["P"], "Overall"),
        ),
        best=True,
        best_within="Dataset",
        notes=(
            "GLA = f_zs - log q + f_CE - log pi_S (Eq. 4); GLA-ZS = f_zs - log q; "
            "GLA-FT = f_CE - log pi_S.",
            *context.seeds_note(),
        ),
    )

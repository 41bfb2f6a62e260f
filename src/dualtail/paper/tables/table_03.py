"""Table 3: generalized logit adjustment, its two halves, and its trained version."""

from dualtail.paper.layout import Table
from dualtail.paper.lookup import GLA_FIRST, GLA_TRAIN, Predictor, ScoreLookup, gla_methods, tuned
from dualtail.paper.predictors import NAMES, further_losses
from dualtail.paper.tables.accuracies import of_methods, with_those_scored
from dualtail.scores.schema import SCHEME_GROUPS

SCALED = "GLA, two scales"
SCALED_NOTE = (
    f"{SCALED} (not in the paper's table) = a (f_zs - log q) + b (f_CE - log pi_S), a and b fitted on the "
    "validation split, or cross-fitted on the test split where there is none."
)


def build(lookup: ScoreLookup) -> Table:
    """Lay out the table: a row per dataset and method; D-groups, P-groups, Overall as columns.

    Further losses of the study have rows of their own.

    GLA with two scales and GLA-Train are rows where the scores have them for every dataset, and so is
    the first stage of the latter alone: Eq. 6 before the head is trained anew.
    """
    context = lookup.context
    member, peft = context.first_member, context.first_peft
    more = {SCALED: Predictor("adjusted", member, peft, "ce", "gla-scaled")}
    more |= {NAMES[loss]: tuned(member, peft, loss) for loss in (GLA_TRAIN, GLA_FIRST)}
    more |= further_losses(lookup)
    methods = with_those_scored(lookup, gla_methods(member, peft), more)
    notes = (SCALED_NOTE,) if SCALED in methods else ()
    return Table(
        number=3,
        title="Generalized logit adjustment by data and parameter groups",
        caption=(
            f"Accuracy (%, mean over classes) of {context.members[member]} tuned with "
            f"{context.pefts[peft]}. D-groups go by training images, P-groups by the estimated "
            "pre-training prior q."
        ),
        cells=of_methods(lookup, methods, (*SCHEME_GROUPS["D"], *SCHEME_GROUPS["P"], "Overall")),
        best=True,
        best_within="Dataset",
        notes=(
            "GLA = f_zs - log q + f_CE - log pi_S (Eq. 4); GLA-ZS = f_zs - log q; "
            "GLA-FT = f_CE - log pi_S.",
            *notes,
            *context.seeds_note(),
        ),
    )

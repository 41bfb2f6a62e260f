"""Single models and their fusion (backdoor adjustment, Eq. 7), tuned with LA (Table 8, Table 11)."""

from dualtail.bias.member_sets import ALL_SETS_UP_TO
from dualtail.errors import UserError
from dualtail.paper.layout import Table
from dualtail.paper.lookup import ScoreLookup, fused
from dualtail.paper.tables.accuracies import D_AND_OVERALL, of_models

FUSIONS = {"logits": "Fused, logits", "probabilities": "Fused, probabilities"}


def build(lookup: ScoreLookup, number: int, place: int) -> Table:
    """Lay out the table of the first (place 0) or second PEFT entry: a row per fusion and set of members."""
    context = lookup.context
    if place >= len(context.pefts):
        raise UserError("table 11 shows a second PEFT method: study.pefts needs at least two")
    peft = list(context.pefts)[place]
    subsets = context.subsets()
    sets = [("Single", "logits", subset) for subset in subsets if len(subset) == 1]
    for mode, label in FUSIONS.items():
        sets += [(label, mode, subset) for subset in subsets if len(subset) > 1]
    rows = [
        ((label, context.members_label("+".join(subset))), fused(subset, peft, "la", mode))
        for label, mode, subset in sets
    ]
    notes = [
        "The paper's rows are the single models and the fusion of logits; Eq. 7 itself averages "
        "probabilities. Overall is not in the paper's table.",
        *context.seeds_note(peft),
    ]
    if len(context.members) > ALL_SETS_UP_TO:
        notes.append("Shown are single models, pairs, all but one, and all.")
    return Table(
        number=number,
        title="Backdoor adjustment over sets of foundation models",
        caption=(
            f"Accuracy (%, mean over classes) of models tuned with {context.pefts[peft]} and LA, "
            "alone and fused with equal weights."
        ),
        cells=of_models(lookup, rows, D_AND_OVERALL, ["Prediction", "Models"]),
        best=True,
        notes=tuple(notes),
    )

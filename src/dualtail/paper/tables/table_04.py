"""Table 4: the features of tuned models without their head, classified by nearest neighbors."""

from dualtail.errors import UserError
from dualtail.paper.layout import Table
from dualtail.paper.lookup import GLA_TRAIN, ScoreLookup, knn
from dualtail.paper.tables.accuracies import of_methods, with_those_scored


def build(lookup: ScoreLookup) -> Table:
    """Lay out the table: a row per dataset and loss; D-groups and Overall as columns.

    GLA-Train is a row where the scores have it for every dataset.
    """
    context = lookup.context
    member, peft = context.first_member, context.first_peft
    datasets = [name for name in context.datasets if name not in context.without_val]
    if not datasets:
        raise UserError("table 4 takes neighbors from validation splits: no dataset has one")
    features = {
        "zero-shot": knn(member),
        "CE": knn(member, peft, "ce"),
        "LA": knn(member, peft, "la"),
    }
    trained = {"GLA-Train": knn(member, peft, GLA_TRAIN)}
    features = with_those_scored(lookup, features, trained, datasets)
    settings = context.config.get("knn", {})
    return Table(
        number=4,
        title="Nearest neighbors of the features",
        caption=(
            f"Accuracy (%, mean over classes) of kNN on the features of {context.members[member]}, "
            f"tuned with {context.pefts[peft]} and different losses."
        ),
        cells=of_methods(lookup, features, name="Features", datasets=datasets),
        notes=(
            "Each test image is classified by the weighted vote of its nearest neighbors, by cosine, "
            f"among the labeled images of the balanced validation split (k = {settings.get('k')}, or "
            "all of them if there are fewer; weight exp(cosine / "
            f"{settings.get('temperature')})). The features are those before "
            "the head. Not in the paper's table: zero-shot features.",
            *context.seeds_note(),
            *(
                f"{context.datasets[name]} has no validation split to take neighbors from: no rows."
                for name in context.without_val
            ),
        ),
    )

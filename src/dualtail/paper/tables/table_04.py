"""Table 4: the features of tuned models without their head, classified by nearest neighbors."""

from typing import TYPE_CHECKING

from dualtail.errors import UserError
from dualtail.paper.context import PaperContext
from dualtail.paper.layout import Table, grid
from dualtail.paper.lookup import Predictor, ScoreLookup
from dualtail.paper.variants import GLA_TRAIN
from dualtail.scores.schema import SCHEME_GROUPS

if TYPE_CHECKING:
    import pandas as pd

GROUPS = (*SCHEME_GROUPS["D"], "Overall")


def knn(member: str, peft: str = "", loss: str = "") -> Predictor:
    """The kNN on the features of a tuned member, or of one that was not tuned."""
    return Predictor("knn", member, peft, loss)


def build(scores: "pd.DataFrame", context: PaperContext) -> Table:
    """Lay out the table: a row a dataset and loss; D-groups and Overall as columns.

    GLA-Train is a row where the scores have it for every dataset.

    Raises:
        UserError: no dataset with a validation split, or the scores lack outputs of the kNN.
    """
    lookup = ScoreLookup(scores, context)
    member, peft = context.first_member, context.first_peft
    datasets = [name for name in context.datasets if name not in context.without_val]
    if not datasets:
        raise UserError("table 4 takes neighbors from validation splits: no dataset has one")
    features = {
        "zero-shot": knn(member),
        "CE": knn(member, peft, "ce"),
        "LA": knn(member, peft, "la"),
    }
    trained = knn(member, peft, GLA_TRAIN)
    if all(lookup.find(dataset, trained) for dataset in datasets):
        features["GLA-Train"] = trained
    rows = [(dataset, name) for dataset in datasets for name in features]
    settings = context.config.get("knn", {})
    k, temperature = settings.get("k"), settings.get("temperature")
    notes = [
        "Each test image is classified by the weighted vote of its nearest neighbors, by cosine, "
        f"among the labeled images of the balanced validation split (k = {k}, or all of them if "
        f"there are fewer; weight exp(cosine / {temperature})). The features are those before "
        "the head. Not in the paper's table: zero-shot features.",
        *context.seeds_note(),
        *(
            f"{context.datasets[name]} has no validation split to take neighbors from: no rows."
            for name in context.without_val
        ),
    ]
    return Table(
        number=4,
        title="Nearest neighbors of the features",
        caption=(
            f"Accuracy (%, mean over classes) of kNN on the features of {context.members[member]}, "
            f"tuned with {context.pefts[peft]} and different losses."
        ),
        cells=grid(
            rows=[(context.datasets[dataset], name) for dataset, name in rows],
            columns=[(group,) for group in GROUPS],
            row_names=["Dataset", "Features"],
            cell=lambda i, j: lookup.get(rows[i][0], features[rows[i][1]], group=GROUPS[j]),
        ),
        notes=tuple(notes),
    )

"""Table 15: P(Y|X) against P(Y|do(X)) with one semantic factor hidden."""

from dualtail.bias.settings import FusionSettings
from dualtail.errors import UserError
from dualtail.explain.splits import explained_split
from dualtail.paper.context import PaperContext
from dualtail.paper.hidden_parts import hidden_parts
from dualtail.paper.layout import EMPTY, Table, grid
from dualtail.paper.lookup import Predictor, ScoreLookup, fused, tuned

METRICS = {"Confidence": "true_class_confidence", "Accuracy": "accuracy"}


def build(lookup: ScoreLookup) -> Table:
    """Lay out the table: the four images of Figure 8, then means over all images."""
    context = lookup.context
    if not context.occluded:
        raise UserError("table 15: no images with hidden parts: set datasets.NAME.occlusion")
    examples = [context.examples_of(dataset) for dataset in context.occluded]
    labels = dict.fromkeys(s for found in examples for s in found.header.conditions.values())
    images = [str(k + 1) for k in range(max(len(hidden_parts(found)) for found in examples))]
    columns = [("Image", name) for name in images]
    columns += [(what, label) for what in METRICS for label in labels]
    return Table(
        number=15,
        title="P(Y|X) against P(Y|do(X)) with one semantic factor hidden",
        caption=(
            f"Probability of the true class and accuracy (both in %) of models tuned with "
            f"{context.pefts[context.first_peft]} and LA, and of their fusion, with nothing hidden and "
            "with one part of every image hidden. Images 1, 2 ... are chosen and hidden as in Figure "
            "8; the other columns are means over all images."
        ),
        cells=grid(
            rows=[
                ((context.datasets[dataset], *names), (dataset, model))
                for dataset in context.occluded
                for names, model in _models(context).items()
            ],
            columns=[(column, column) for column in columns],
            row_names=["Dataset", "", "Model"],
            cell=lambda row, column: _cell(lookup, *row, *column),
        ),
        formats=dict.fromkeys([*labels, *images], "{:.1f}"),
        best=True,
        best_within="Dataset",
        notes=(
            "Fused by probabilities (Eq. 7), the probability of the true class is the mean of the "
            "members' by definition; only its accuracy can say whether fusing helps.",
        ),
    )


def _models(context: PaperContext) -> dict[tuple[str, str], Predictor]:
    """Single models, then the fusions of all."""
    peft, members = context.first_peft, list(context.members)
    fusion = FusionSettings.model_validate(context.config.get("fusion", {"modes": ["logits"]}))
    return {("P(Y|X)", label): tuned(m, peft, "la") for m, label in context.members.items()} | {
        ("P(Y|do(X))", f"fused, {mode}"): fused(members, peft, "la", mode)
        for mode in fusion.given_modes
    }


def _cell(lookup: ScoreLookup, dataset: str, model: Predictor, what: str, name: str) -> object:
    """Confidence on an image of Figure 8, or a mean over all images under the condition so labeled."""
    context = lookup.context
    examples = context.examples_of(dataset)
    if what == "Image":
        shown, k = hidden_parts(examples), int(name) - 1
        identity = {"members": model.members, "loss": model.loss, "fusion": model.fusion}
        found = examples.confidence(**identity, **context.first_tuning)
        return 100 * float(found[shown[k]]) if k < len(shown) else EMPTY
    for condition, label in examples.header.conditions.items():
        if label == name:
            return lookup.get(dataset, model, METRICS[what], split=explained_split(condition))
    return EMPTY

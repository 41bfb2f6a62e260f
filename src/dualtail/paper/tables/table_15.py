"""Table 15: P(Y|X) against P(Y|do(X)) with one semantic factor hidden."""

from dualtail.errors import UserError
from dualtail.explain.splits import explained_split
from dualtail.paper.context import PaperContext
from dualtail.paper.hidden_parts import hidden_parts
from dualtail.paper.layout import EMPTY, Table, grid
from dualtail.paper.lookup import Predictor, ScoreLookup, fused, tuned

METRICS = {"Confidence": "true_class_confidence", "Accuracy": "accuracy"}


def build(lookup: ScoreLookup) -> Table:
    """Lay out the table: the four images of Figure 8, then means over all images.

    Raises:
        UserError: no dataset has images with hidden parts, or their scores are missing.
    """
    context = lookup.context
    if not context.occluded:
        raise UserError("table 15: no images with hidden parts: set datasets.NAME.occlusion")
    examples = [context.examples_of(dataset) for dataset in context.occluded]
    labels = dict.fromkeys(s for found in examples for s in found.header.conditions.values())
    images = [str(k + 1) for k in range(max(len(hidden_parts(found)) for found in examples))]
    columns = [("Image", name) for name in images]
    columns += [(what, label) for what in METRICS for label in labels]

    def cell(row: tuple[str, Predictor], column: tuple[str, str]) -> object:
        if column[0] == "Image":
            return _confidence(context, *row, int(column[1]) - 1)
        return _mean(lookup, *row, METRICS[column[0]], column[1])

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
            cell=cell,
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
    modes = context.config.get("fusion", {}).get("modes", ["logits"])
    return {("P(Y|X)", label): tuned(m, peft, "la") for m, label in context.members.items()} | {
        ("P(Y|do(X))", f"fused, {mode}"): fused(members, peft, "la", mode) for mode in modes
    }


def _confidence(context: PaperContext, dataset: str, model: Predictor, number: int) -> object:
    """Of the true class in % on one image of Figure 8."""
    examples = context.examples_of(dataset)
    shown = hidden_parts(examples)
    if number >= len(shown):
        return EMPTY
    found = examples.confidence(
        members=model.members,
        peft=model.peft,
        loss=model.loss,
        fusion=model.fusion,
        seed=context.first_seed,
    )
    return 100 * float(found[shown[number]])


def _mean(lookup: ScoreLookup, dataset: str, model: Predictor, metric: str, label: str) -> object:
    """A metric over all images under the condition of this label."""
    conditions = lookup.context.examples_of(dataset).header.conditions
    known = {name: key for key, name in conditions.items()}
    if label not in known:
        return EMPTY
    return lookup.get(dataset, model, metric, split=explained_split(known[label]))

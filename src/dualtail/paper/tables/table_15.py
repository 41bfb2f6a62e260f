"""Table 15: P(Y|X) against P(Y|do(X)) with one semantic factor hidden."""

from typing import TYPE_CHECKING, Any

from dualtail.errors import UserError
from dualtail.explain.splits import explained_split
from dualtail.paper.context import PaperContext
from dualtail.paper.hidden_parts import hidden_parts
from dualtail.paper.layout import EMPTY, Table, grid
from dualtail.paper.lookup import Predictor, ScoreLookup, fused, tuned

if TYPE_CHECKING:
    import pandas as pd


def build(scores: "pd.DataFrame", context: PaperContext) -> Table:
    """Lay out the table: the four images of Figure 8, then means over all images.

    Raises:
        UserError: no dataset has images with hidden parts, or their scores are missing.
    """
    if not context.occluded:
        raise UserError("table 15: no images with hidden parts: set datasets.NAME.occlusion")
    lookup = ScoreLookup(scores, context)
    peft, members = context.first_peft, list(context.members)
    models: dict[tuple[str, str], Predictor] = {
        ("P(Y|X)", label): tuned(member, peft, "la") for member, label in context.members.items()
    }
    modes = context.config.get("fusion", {}).get("modes", ["logits"])
    models |= {("P(Y|do(X))", f"fused, {m}"): fused(members, peft, "la", m) for m in modes}
    rows = [(dataset, names) for dataset in context.occluded for names in models]
    images = max(len(hidden_parts(context.examples_of(d))) for d in context.occluded)
    labels = list(
        dict.fromkeys(
            label
            for dataset in context.occluded
            for label in context.examples_of(dataset).header.conditions.values()
        )
    )
    columns = [("Image", str(k + 1)) for k in range(images)]
    columns += [(what, label) for what in ("Confidence", "Accuracy") for label in labels]

    def cell(i: int, j: int) -> object:
        dataset, names = rows[i]
        model = models[names]
        what, label = columns[j]
        examples = context.examples_of(dataset)
        if what == "Image":
            shown = hidden_parts(examples)
            if j >= len(shown):
                return EMPTY
            image, condition = shown[j]
            found = examples.confidence(**_identity(model, context))[image, condition]
            return 100 * float(found)
        known = {name: key for key, name in examples.header.conditions.items()}
        if label not in known:
            return EMPTY
        split = explained_split(known[label])
        metric = "accuracy" if what == "Accuracy" else "true_class_confidence"
        return lookup.get(dataset, model, metric, split=split)

    return Table(
        number=15,
        title="P(Y|X) against P(Y|do(X)) with one semantic factor hidden",
        caption=(
            f"Probability of the true class and accuracy (both in %) of models tuned with "
            f"{context.pefts[peft]} and LA, and of their fusion, with nothing hidden and with one "
            "part of every image hidden. Images 1, 2 ... are chosen and hidden as in Figure 8; the "
            "other columns are means over all images."
        ),
        cells=grid(
            rows=[(context.datasets[dataset], *names) for dataset, names in rows],
            columns=columns,
            row_names=["Dataset", "", "Model"],
            cell=cell,
        ),
        formats=dict.fromkeys([*labels, *(str(k + 1) for k in range(images))], "{:.1f}"),
        best="max",
        best_within="Dataset",
        notes=(
            "Fused by probabilities (Eq. 7), the probability of the true class is the mean of the "
            "members' by definition; only its accuracy can say whether fusing helps.",
        ),
    )


def _identity(model: Predictor, context: PaperContext) -> dict[str, Any]:
    fields = model._asdict()
    known = {name: fields[name] for name in ("members", "peft", "loss", "fusion")}
    return known | {"seed": context.first_tuning["seed"]}

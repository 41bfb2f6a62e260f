"""Table 10: hyper-parameters of tuning."""

from typing import Any

from dualtail.errors import UserError
from dualtail.paper.layout import Table, grid
from dualtail.paper.lookup import ScoreLookup

ROWS = {
    "Learning rate": "lr",
    "Epochs": "epochs",
    "Batch size": "batch_size",
    "Momentum": "momentum",
    "Weight decay": "weight_decay",
    "Cosine scale": "head.scale",
}


def build(lookup: ScoreLookup) -> Table:
    """Lay out the table from the resolved config: `tuning` with each dataset's changes."""
    context = lookup.context

    def cell(path: str, dataset: str) -> str:
        value: Any = context.tuning_of(dataset)
        for key in path.split("."):
            if key not in value:
                raise UserError(f"table 10: the config lacks tuning.{path}")
            if key == "scale" and value.get("type") != "cosine":
                return "none"
            value = value[key]
        return f"{value:g}"

    return Table(
        number=10,
        title="Hyper-parameters of tuning",
        caption="SGD with cosine annealing; the same for every foundation model, PEFT and loss.",
        cells=grid(
            rows=[((name,), path) for name, path in ROWS.items()],
            columns=[((label,), dataset) for dataset, label in context.datasets.items()],
            row_names=["Hyper-parameter"],
            cell=cell,
        ),
    )

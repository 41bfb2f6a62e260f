"""Table 10: hyper-parameters of tuning."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dualtail.errors import UserError
from dualtail.paper.context import PaperContext
from dualtail.paper.layout import Table, grid

if TYPE_CHECKING:
    import pandas as pd

ROWS = {
    "Learning rate": "lr",
    "Epochs": "epochs",
    "Batch size": "batch_size",
    "Momentum": "momentum",
    "Weight decay": "weight_decay",
    "Cosine scale": "head.scale",
}


def build(scores: "pd.DataFrame", context: PaperContext) -> Table:
    """Lay out the table from the resolved config: `tuning` with each dataset's changes.

    Raises:
        UserError: the context has no config, or the config lacks a hyper-parameter.
    """
    del scores  # every table is built from the same two arguments
    datasets, names = list(context.datasets), list(ROWS)
    settings = {dataset: tuning_of(context.config, dataset) for dataset in datasets}

    def cell(i: int, j: int) -> object:
        value: Any = settings[datasets[j]]
        for key in ROWS[names[i]].split("."):
            if key not in value:
                raise UserError(f"table 10: the config lacks tuning.{ROWS[names[i]]}")
            if key == "scale" and value.get("type") != "cosine":
                return "none"
            value = value[key]
        return f"{value:g}"

    return Table(
        number=10,
        title="Hyper-parameters of tuning",
        caption="SGD with cosine annealing; the same for every foundation model, PEFT and loss.",
        cells=grid(
            rows=[(name,) for name in names],
            columns=[(context.datasets[dataset],) for dataset in datasets],
            row_names=["Hyper-parameter"],
            cell=cell,
        ),
    )


def tuning_of(config: Mapping[str, Any], dataset: str) -> Mapping[str, Any]:
    """Return the tuning settings of one dataset: `tuning` with its own changes."""
    changes = config.get("datasets", {}).get(dataset, {}).get("tuning", {})
    return {**config.get("tuning", {}), **changes}

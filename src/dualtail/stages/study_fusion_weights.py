"""Stage study-fusion-weights: are equal weights right? All members fused with fitted ones, and without."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dualtail.errors import UserError
from dualtail.outputs import read_outputs
from dualtail.paper.context import NOTHING_FUSED, PaperContext
from dualtail.paper.layout import write_table
from dualtail.paper.run_config import BOOTSTRAP, FUSION, read_context
from dualtail.stages.fitting import fitting_split
from dualtail.studies.dumps import dump_of
from dualtail.studies.fusion_weights import Row, weight_rows, weights_table
from dualtail.study_table import Prediction


def run(config: Path, outputs: str, out: Path) -> None:
    """Write fusion_weights.csv and .md: what is fused, with the first PEFT entry and its first seed."""
    context = read_context(config, BOOTSTRAP | FUSION)
    settings = context.config
    variants = fused_variants(context, settings["fusion"])
    if len(context.members) < 2 or not variants:
        raise UserError(f"{config}: {NOTHING_FUSED}")
    rows: dict[tuple[str, str], list[Row]] = {}
    for dataset, label in context.datasets.items():
        for row, tuning in variants.items():
            files = [
                dump_of(row._replace(dataset=dataset, members=member), outputs, config)
                for member in context.members
            ]
            split = fitting_split(files)
            rows[label, tuning] = weight_rows(
                [read_outputs(file, split) for file in files],
                [read_outputs(file, "test") for file in files],
                settings["scores"]["bootstrap"],
                settings["seed"],
            )
    write_table(weights_table(rows, context.members), out)


def fused_variants(context: PaperContext, fusion: Mapping[str, Any]) -> dict[Prediction, str]:
    """Return predictions, of any dataset and member, that are fused -> tuning in words."""
    peft, seed = context.first_peft, context.first_seed
    found = (
        {Prediction("zero-shot", "", "", "zero-shot"): "zero-shot"} if fusion["zero_shot"] else {}
    )
    return found | {
        Prediction("tuned", "", "", f"{peft}-{loss}-{seed}", peft, loss, seed): (
            f"{context.pefts[peft]}, {loss.upper()}"
        )
        for loss in fusion["losses"]
    }

"""Stage study-controls: several corpora against seeds of one, with and without visibility bias."""

from collections.abc import Sequence
from pathlib import Path

from dualtail.errors import UserError
from dualtail.outputs import Outputs, read_outputs
from dualtail.paper.layout import write_table
from dualtail.paper.run_config import BOOTSTRAP, read_context
from dualtail.studies.controls import MODES, FusedSet, control_rows, controls_table
from dualtail.studies.dumps import dump_of
from dualtail.study_table import Prediction

LOSS = "la"
"""All models are tuned with it, with the first PEFT entry and its first seed."""


def run(config: Path, outputs: str, out: Path) -> None:
    """Write controls.csv and controls.md: the sets of models of `studies.controls` on every dataset."""
    context = read_context(config, BOOTSTRAP | {"studies.controls": dict})
    settings = context.config
    sets = settings["studies"]["controls"]
    if not sets:
        raise UserError(f"{config}: studies.controls: no sets of models; see config/controls.yaml")
    tuning = (context.first_peft, LOSS, context.first_seed)
    name = "-".join(map(str, tuning))

    def read(dataset: str, members: str, fusion: str = "") -> Outputs:
        kind, variant = ("fused", f"{name}-{fusion}") if fusion else ("tuned", name)
        row = Prediction(kind, dataset, members, variant, *tuning, fusion=fusion)
        return read_outputs(dump_of(row, outputs, config))

    def fused_set(dataset: str, name: str, models: Sequence[str]) -> FusedSet:
        by_logits, by_probabilities = (read(dataset, "+".join(models), mode) for mode in MODES)
        singles = [read(dataset, model) for model in models]
        return FusedSet(name, singles, (by_logits, by_probabilities))

    rows = {
        (label, *name): cells
        for dataset, label in context.datasets.items()
        for name, cells in control_rows(
            [fused_set(dataset, name, models) for name, models in sets.items()],
            settings["scores"]["bootstrap"],
            settings["seed"],
        ).items()
    }
    in_words = f"{context.pefts[context.first_peft]} and {LOSS.upper()}"
    write_table(controls_table(rows, in_words), out)

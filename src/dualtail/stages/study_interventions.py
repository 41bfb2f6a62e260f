"""Stage study-interventions: predictions under interventions against the true P(Y | do(X))."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dualtail.config.names import listed
from dualtail.errors import UserError
from dualtail.explain.splits import DRAWN_VISIBLE, explained_split
from dualtail.json_text import read_json
from dualtail.outputs import OutputsHeader, read_outputs
from dualtail.paper.context import PaperContext
from dualtail.paper.layout import write_table
from dualtail.paper.run_config import BOOTSTRAP, FUSION, read_context
from dualtail.paper.style import write_figure
from dualtail.studies.dumps import dump_of
from dualtail.studies.interventional import (
    Studied,
    interventional_figure,
    interventional_rows,
    interventional_table,
)
from dualtail.studies.interventions import (
    Visibility,
    corpus_weights,
    distances,
    read_probabilities,
    read_visibility,
)
from dualtail.study_table import Prediction, read_study


def run(
    datasets: Sequence[tuple[str, Path]], study: Path, config: Path, explained: str, out: Path
) -> None:
    """Write interventional.csv, interventional.md, and the figure under figures/."""
    context = read_context(config, BOOTSTRAP | FUSION)
    studied = []
    for dataset, truth in datasets:
        try:
            visibility = read_visibility(read_json(truth), dataset)
        except UserError as error:
            raise UserError(f"{truth}: {error}") from error
        for model in _models(read_study(study, dataset), context):
            if not context.has(model.dataset, model.members, model.peft):
                raise UserError(
                    f"{study}: {model.variant} of {model.members} on {dataset} is not in the study of "
                    f"{config}: give the files of one run"
                )
            studied.append(_studied(dump_of(model, explained, study), visibility, context))
    if not studied:
        raise UserError(
            f"{study}: no explained model that is zero-shot or tuned with a loss of fusion.losses "
            f"({listed(context.config['fusion']['losses'])}): name there a loss that the study explains"
        )
    settings = context.config
    rows = interventional_rows(studied, settings["scores"]["bootstrap"], settings["seed"])
    write_table(interventional_table(rows), out)
    fused = list(dict.fromkeys(one.model for one in studied if len(one.members) > 1))
    write_figure(interventional_figure(rows, fused), out / "figures")


def _models(rows: Sequence[Prediction], context: PaperContext) -> list[Prediction]:
    """The explained models: zero-shot, then those tuned with a loss that is fused; each with its fusions."""
    fused_losses = context.config["fusion"]["losses"]
    chosen = [row for row in rows if row.explained and (not row.loss or row.loss in fused_losses)]
    tunings = list(dict.fromkeys((row.peft, row.loss, row.seed) for row in chosen))
    tunings.sort(key=lambda tuning: tuning != ("", "", None))
    return sorted(
        chosen,
        key=lambda row: (tunings.index((row.peft, row.loss, row.seed)), row.kind == "fused"),
    )


def _studied(file: Path, visibility: Visibility, context: PaperContext) -> Studied:
    """One model on one dataset."""
    dumps = {
        visible: read_outputs(file, explained_split(condition))
        for condition, visible in DRAWN_VISIBLE.items()
    }
    probabilities = read_probabilities(dumps)
    first = next(iter(dumps.values()))
    header, labels = first.header, np.asarray(first.labels)
    for shares in visibility.corpora.values():
        if len(shares) != first.n_classes:
            raise UserError(
                f"{file}: {first.n_classes} classes, but truth.json of {header.dataset} has {len(shares)}"
            )
    entries = context.config["foundation"]
    corpora = {
        member: corpus
        for member in context.members
        if (corpus := entries[member]["weights"]["corpus"]) is not None
    }
    weights = corpus_weights(header.members, corpora, visibility)
    return Studied(
        dataset=context.datasets[header.dataset],
        tuning=_tuning(header, context),
        model=_model(header, context),
        members=tuple(header.members),
        labels=labels,
        distances=distances(probabilities, labels, visibility.downstream, weights),
    )


def _tuning(header: OutputsHeader, context: PaperContext) -> str:
    if not header.peft:
        return "zero-shot"
    return f"{context.pefts[header.peft]}, {header.loss.upper()}, seed {header.seed}"


def _model(header: OutputsHeader, context: PaperContext) -> str:
    if header.fusion:
        return f"fused, {header.fusion}"
    return context.members[header.members_key]

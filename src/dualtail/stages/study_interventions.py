"""Stage study-interventions: predictions under interventions against the true P(Y | do(X))."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from dualtail.errors import UserError
from dualtail.jobs import StudiedInterventions, StudyInterventionsJob
from dualtail.outputs import OutputsHeader, read_outputs
from dualtail.paper.layout import write_study_table
from dualtail.paper.style import write_paper_figure
from dualtail.studies.interventional import (
    Studied,
    interventional_figure,
    interventional_rows,
    interventional_table,
)
from dualtail.studies.interventions import (
    corpus_weights,
    distances,
    read_probabilities,
    read_visibility,
)


def run(job: StudyInterventionsJob) -> None:
    """Write interventional.csv, interventional.md, and the figure under figures/.

    Raises:
        UserError: unreadable dumps, dumps that do not belong together, no truth.
    """
    studied = [one for dataset in job.datasets for one in _studied(dataset, job)]
    rows = interventional_rows(studied, job.bootstrap, job.seed)
    write_study_table(interventional_table(rows), job.root)
    fused = list(dict.fromkeys(one.model for one in studied if len(one.members) > 1))
    write_paper_figure(interventional_figure(rows, fused), job.root / "figures")


def _studied(dataset: StudiedInterventions, job: StudyInterventionsJob) -> list[Studied]:
    visibility = read_visibility(_read_json(dataset.truth))
    found = []
    for entry in dataset.models:
        dumps = {dataset.conditions[name]: read_outputs(path) for name, path in entry.items()}
        probabilities = read_probabilities(dumps)
        first = next(iter(dumps.values()))
        header, labels = first.header, np.asarray(first.labels)
        weights = corpus_weights(header.members, dataset.corpora, visibility)
        found.append(
            Studied(
                dataset=dataset.label,
                tuning=_tuning(header, job),
                model=_model(header, job),
                members=tuple(header.members),
                fusion=header.fusion,
                labels=labels,
                distances=distances(probabilities, labels, visibility.downstream, weights),
            )
        )
    return found


def _tuning(header: OutputsHeader, job: StudyInterventionsJob) -> str:
    if not header.peft:
        return "zero-shot"
    return f"{job.pefts[header.peft]}, {header.loss.upper()}, seed {header.seed}"


def _model(header: OutputsHeader, job: StudyInterventionsJob) -> str:
    if header.fusion:
        return f"fused, {header.fusion}"
    return job.members[header.members_key]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: not a readable JSON file ({error})") from error

"""Stage collect: the run's one score table, its class accuracies, and its costs."""

import json
from pathlib import Path
from typing import Any

from dualtail.errors import UserError
from dualtail.files import write_text
from dualtail.jobs import CollectJob, PriorRecordFile
from dualtail.scores.headline import headline
from dualtail.scores.schema import PER_CLASS, SCORES, as_frame, concatenate, read_frame, write_frame


def run(job: CollectJob) -> None:
    """Concatenate the scores of the datasets, add the priors; write costs and headline numbers apart.

    Costs hold measured times: they differ from run to run, the other tables do not.

    Raises:
        UserError: an input is missing or not what it should be.
    """
    priors = as_frame([_prior_row(job.run, entry) for entry in job.priors], SCORES)
    scores = concatenate([read_frame(path, SCORES) for path in job.scores] + [priors], SCORES)
    for out in job.out_scores:
        write_frame(out, scores, SCORES)
    classes = concatenate([read_frame(path, PER_CLASS) for path in job.class_scores], PER_CLASS)
    write_frame(job.out_class_scores, classes, PER_CLASS)
    costs = [row for path in job.records for row in _cost_rows(job.run, _read(path))]
    write_frame(job.out_costs, as_frame(costs, SCORES), SCORES)
    write_text(job.out_metrics, json.dumps(headline(scores), indent=2, sort_keys=True) + "\n")


def _prior_row(run: str, entry: PriorRecordFile) -> dict[str, Any]:
    found = _read(entry.record)
    row = _row(run, entry.dataset, "prior", entry.member, "", entry.split, "imbalance_factor")
    return row | {
        "value": found["imbalance_factor"],
        # An estimator without intervals leaves them out.
        "ci_low": _number(found["imbalance_factor_low"]),
        "ci_high": _number(found["imbalance_factor_high"]),
    }


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _cost_rows(run: str, record: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        _row(run, record["dataset"], "cost", record["member"], record["peft"], "", metric)
        | {"loss": record["loss"], "seed": record["seed"], "value": value}
        for metric, value in record["costs"].items()
    ]


def _row(
    run: str, dataset: str, kind: str, member: str, peft: str, split: str, metric: str
) -> dict[str, Any]:
    return {
        "run": run,
        "dataset": dataset,
        "kind": kind,
        "members": member,
        "peft": peft,
        "loss": "",
        "adjustment": "",
        "fusion": "",
        "seed": None,
        "split": split,
        "scheme": "all",
        "group": "Overall",
        "metric": metric,
        "n_classes": 0,
        "ci_low": float("nan"),
        "ci_high": float("nan"),
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: not a readable JSON file ({error})") from error

"""Stage collect: the run's one score table, its class accuracies, priors, costs and headline numbers."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dualtail.datasets.text_file import read_text_file
from dualtail.errors import UserError
from dualtail.files import write_text
from dualtail.json_text import read_json
from dualtail.scores.headline import headline
from dualtail.scores.schema import PER_CLASS, SCORES, as_frame, concatenate, read_frame, write_frame
from dualtail.study_table import Prediction, file_of, read_study

PRIOR_COLUMNS = ("class_index", "class_name", "q", "ci_low", "ci_high", "q_true")


def run(
    scores: Sequence[Path],
    class_scores: Sequence[Path],
    study: Path,
    priors: str,
    records: str,
    run_name: str,
    out: Path,
) -> None:
    """Write scores.csv, scores.parquet, class_scores.parquet, costs.csv, metrics.json and priors.csv.

    Costs hold measured times: they differ from run to run, the other tables do not.
    """
    rows = read_study(study)
    zero_shot = [(row, file_of(row, priors, study)) for row in rows if row.kind == "zero-shot"]
    with_costs = [row for row in rows if row.kind in ("zero-shot", "tuned")]
    factors = as_frame([_factor_row(run_name, path) for _, path in zero_shot], SCORES)
    table = concatenate([read_frame(path, SCORES) for path in scores] + [factors], SCORES)
    for suffix in ("csv", "parquet"):
        write_frame(out / f"scores.{suffix}", table, SCORES)
    classes = concatenate([read_frame(path, PER_CLASS) for path in class_scores], PER_CLASS)
    write_frame(out / "class_scores.parquet", classes, PER_CLASS)
    costs = [
        cost for row in with_costs for cost in _cost_rows(run_name, file_of(row, records, study))
    ]
    write_frame(out / "costs.csv", as_frame(costs, SCORES), SCORES)
    metrics = json.dumps(headline(table), indent=2, sort_keys=True)
    write_text(out / "metrics.json", metrics + "\n")
    write_text(out / "priors.csv", _priors(zero_shot))


def _priors(found: Sequence[tuple[Prediction, Path]]) -> str:
    """All priors as one CSV, their numbers as they are written."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["dataset", "member", *PRIOR_COLUMNS])
    for row, path in found:
        for line in csv.DictReader(io.StringIO(read_text_file(path))):
            cells = [line.get(column, "") for column in PRIOR_COLUMNS]
            writer.writerow([row.dataset, row.members, *cells])
    return text.getvalue()


def _factor_row(run: str, prior: Path) -> dict[str, Any]:
    """The imbalance factor of a prior."""
    path = prior.with_suffix(".json")
    found = _read(path, "dataset", "members", "split", "imbalance_factor")
    row = _row(run, found["dataset"], "prior", found["members"], "imbalance_factor")
    return row | {"split": found["split"], "value": found["imbalance_factor"]}


def _cost_rows(run: str, path: Path) -> list[dict[str, Any]]:
    """Cost of a prediction, and of a tuning."""
    record = _read(path, "dataset", "member", "peft", "loss", "seed", "costs")
    identity = {key: record[key] for key in ("peft", "loss", "seed")}
    return [
        _row(run, record["dataset"], "cost", record["member"], metric) | identity | {"value": value}
        for metric, value in record["costs"].items()
    ]


def _row(run: str, dataset: str, kind: str, member: str, metric: str) -> dict[str, Any]:
    return {
        "run": run,
        "dataset": dataset,
        "kind": kind,
        "members": member,
        **dict.fromkeys(("peft", "loss", "adjustment", "fusion", "split"), ""),
        "seed": None,
        "scheme": "all",
        "group": "Overall",
        "metric": metric,
        "n_classes": 0,
        "ci_low": float("nan"),
        "ci_high": float("nan"),
    }


def _read(path: Path, *keys: str) -> dict[str, Any]:
    """A record with these keys."""
    record = read_json(path)
    missing = [key for key in keys if not isinstance(record, dict) or key not in record]
    if missing:
        raise UserError(f"{path}: no {missing[0]!r} in this record; make it again")
    return record

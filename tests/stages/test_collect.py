"""Collecting a run: every table from a small study's files, and the file at fault in messages."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import Result

from dualtail.bias.prior.table import write_prior_csv
from dualtail.scores.schema import PER_CLASS, SCORES, as_frame, read_frame, write_frame
from dualtail.study_table import Prediction, write_study

PRIORS, RECORDS = "priors/{dataset}/{member}.csv", "adapters/{dataset}/{members}/{variant}.json"
STUDY = [
    Prediction("zero-shot", "photos", "clip", "zero-shot"),
    Prediction("tuned", "photos", "clip", "vpt-la-1", "vpt", "la", 1),
    Prediction("adjusted", "photos", "clip", "vpt-ce-1-gla", "vpt", "ce", 1, "gla"),
    Prediction("zero-shot", "places", "clip", "zero-shot"),
]
IDENTITY = {
    "run": "r",
    "kind": "zero-shot",
    "members": "clip",
    "peft": "",
    "loss": "",
    "adjustment": "",
    "fusion": "",
    "seed": None,
    "split": "test",
}


def score_row(dataset: str, value: float) -> dict[str, Any]:
    numbers = {"n_classes": 2, "value": value, "ci_low": 1.0, "ci_high": 99.0}
    what = {"scheme": "all", "group": "Overall", "metric": "accuracy"}
    return IDENTITY | {"dataset": dataset} | what | numbers


def class_row(dataset: str) -> dict[str, Any]:
    counts = {"train_count": 3, "q": 0.5, "n_images": 4, "n_predicted": 5, "accuracy": 25.0}
    return IDENTITY | {"dataset": dataset, "class_index": 0, "class_name": "null"} | counts


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of a run of two datasets and one model."""
    monkeypatch.chdir(tmp_path)
    write_study(Path("study.csv"), STUDY)
    for k, dataset in enumerate(("photos", "places")):
        write_frame(f"{dataset}.parquet", as_frame([score_row(dataset, 40.0 + k)]), SCORES)
        rows = as_frame([class_row(dataset)], PER_CLASS)
        write_frame(f"{dataset}.classes.parquet", rows, PER_CLASS)
        has_intervals = dataset == "photos"
        bounds = ([0.2, 0.6], [0.4, 0.8]) if has_intervals else (None, None)
        path = Path(f"priors/{dataset}/clip.csv")
        q = [0.1 + 0.2, 0.7]
        write_prior_csv(path, ["a, b", 'c"d'], q, *bounds, None if has_intervals else [0.5, 0.5])
        record = {"dataset": dataset, "members": "clip", "split": "val", "imbalance_factor": 7 / 3}
        path.with_suffix(".json").write_text(json.dumps(record))
    costs = {"parameters": 10, "tuning_seconds": 1.5}
    record = {"dataset": "photos", "member": "clip", "peft": "vpt", "loss": "la", "seed": 1}
    path = Path("adapters/photos/clip/vpt-la-1.json")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(record | {"costs": costs, "epochs": 5}))
    for dataset in ("photos", "places"):
        record = {"dataset": dataset, "member": "clip", "peft": "", "loss": "", "seed": None}
        path = Path(f"adapters/{dataset}/clip/zero-shot.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record | {"costs": {"gflops": 2.5}}))


@pytest.fixture
def collect(folder: None, dualtail: Callable[..., Result]) -> Callable[..., Result]:
    """The verb, on score tables of these datasets."""

    def run(*names: str, fails: bool = False) -> Result:
        words = ["collect", *(f"{name}.parquet" for name in names), "--study", "study.csv"]
        words += [f"--class-scores={name}.classes.parquet" for name in ("photos", "places")]
        words += ["--priors", PRIORS, "--records", RECORDS, "--run", "r", "--out", "out"]
        return dualtail(*words, fails=fails)

    return run


def test_all_tables_of_a_run(collect: Callable[..., Result]) -> None:
    collect("photos", "places")
    names = ["class_scores.parquet", "costs.csv", "metrics.json", "priors.csv"]
    assert sorted(path.name for path in Path("out").iterdir()) == [
        *names,
        "scores.csv",
        "scores.parquet",
    ]
    scores = read_frame("out/scores.parquet", SCORES)
    pd.testing.assert_frame_equal(scores, read_frame("out/scores.csv", SCORES))
    found = scores[["dataset", "kind", "split", "metric", "value"]].values.tolist()
    assert found == [
        ["photos", "zero-shot", "test", "accuracy", 40.0],
        ["photos", "prior", "val", "imbalance_factor", 2.333333],
        ["places", "zero-shot", "test", "accuracy", 41.0],
        ["places", "prior", "val", "imbalance_factor", 2.333333],
    ]
    assert scores.loc[scores["kind"] == "prior", ["ci_low", "ci_high"]].isna().all(axis=None)
    costs = read_frame("out/costs.csv", SCORES)
    columns = ["dataset", "kind", "members", "peft", "loss", "seed", "metric", "value", "unit"]
    assert costs["seed"].isna().tolist() == [True, False, False, True]
    costs["seed"] = costs["seed"].fillna(-1)
    assert costs[columns].values.tolist() == [
        ["photos", "cost", "clip", "", "", -1, "gflops", 2.5, "GFLOPs per image"],
        ["photos", "cost", "clip", "vpt", "la", 1, "parameters", 10.0, "count"],
        ["photos", "cost", "clip", "vpt", "la", 1, "tuning_seconds", 1.5, "s"],
        ["places", "cost", "clip", "", "", -1, "gflops", 2.5, "GFLOPs per image"],
    ]
    classes = read_frame("out/class_scores.parquet", PER_CLASS)
    assert classes["dataset"].tolist() == ["photos", "places"]
    metrics = json.loads(Path("out/metrics.json").read_text())
    assert metrics["places"]["zero-shot"]["Overall"] == 41.0
    # Priors keep every digit.
    assert Path("out/priors.csv").read_text().splitlines() == [
        "dataset,member,class_index,class_name,q,ci_low,ci_high,q_true",
        'photos,clip,0,"a, b",0.30000000000000004,0.2,0.4,',
        'photos,clip,1,"c""d",0.7,0.6,0.8,',
        'places,clip,0,"a, b",0.30000000000000004,,,0.5',
        'places,clip,1,"c""d",0.7,,,0.5',
    ]


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("priors/photos/clip.csv", None, r"clip\.csv: no such file, but study\.csv lists it"),
        ("priors/photos/clip.json", None, r"clip\.json: not a readable JSON file"),
        ("priors/photos/clip.json", "[1]", r"clip\.json: no 'dataset' in this record"),
        ("adapters/photos/clip/vpt-la-1.json", "{}", r"la-1\.json: no 'dataset' in this record"),
        ("photos.parquet", None, r"photos\.parquet: no such file"),
        ("photos.parquet", "x", r"photos\.parquet: not a score table"),
        ("study.csv", None, r"study\.csv: cannot be read"),
    ],
)
def test_the_file_that_is_wrong_is_named(
    collect: Callable[..., Result], path: str, text: str | None, message: str
) -> None:
    if text is None:
        Path(path).unlink()
    else:
        Path(path).write_text(text)
    assert re.search(message, collect("photos", "places", fails=True).output)


def test_a_table_that_is_given_twice_is_refused(collect: Callable[..., Result]) -> None:
    assert "the same number twice" in collect("photos", "photos", fails=True).output

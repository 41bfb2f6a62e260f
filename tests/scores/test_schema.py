"""The files of the score table."""

import numpy as np
import pandas as pd
import pytest

from dualtail.errors import UserError
from dualtail.scores.schema import (
    COLUMNS,
    PER_CLASS,
    as_frame,
    concatenate,
    read_frame,
    write_frame,
)


def row(**changes):
    return {
        "run": "world",
        "dataset": "world_places",
        "kind": "tuned",
        "members": "clip",
        "peft": "adaptformer",
        "loss": "la",
        "adjustment": "",
        "fusion": "",
        "seed": 0,
        "split": "test",
        "scheme": "all",
        "group": "Overall",
        "metric": "accuracy",
        "n_classes": 60,
        "value": 61.25,
        "ci_low": 60.0,
        "ci_high": 62.5,
    } | changes


def class_row(**changes):
    return {
        **{k: v for k, v in row().items() if k in PER_CLASS.key},
        "class_index": 0,
        "class_name": "null",
        "train_count": 5,
        "q": 1.234567891e-7,
        "n_images": 50,
        "n_predicted": 48,
        "accuracy": 50.0,
    } | changes


ROWS = [
    row(),
    row(
        scheme="D",
        group="D-Few",
        n_classes=0,
        value=float("nan"),
        ci_low=float("nan"),
        ci_high=float("nan"),
    ),
    row(kind="zero-shot", peft="", loss="", seed=None),
    row(kind="cost", metric="images_per_second", n_classes=None, value=15000.0),
]


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_round_trip(tmp_path, suffix):
    frame = as_frame(ROWS)
    path = tmp_path / f"scores{suffix}"
    write_frame(path, frame)
    pd.testing.assert_frame_equal(read_frame(path), frame)
    classes = as_frame([class_row(), class_row(class_index=1, class_name="NA", q=None)], PER_CLASS)
    path = tmp_path / f"classes{suffix}"
    write_frame(path, classes, PER_CLASS)
    pd.testing.assert_frame_equal(read_frame(path, PER_CLASS), classes)
    assert classes["class_name"].tolist() == ["null", "NA"]


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_equal_tables_give_equal_bytes_in_any_order_of_rows(tmp_path, suffix):
    paths = [tmp_path / f"{name}{suffix}" for name in "ab"]
    write_frame(paths[0], as_frame(ROWS))
    write_frame(paths[1], as_frame(ROWS[::-1]))
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_columns_units_and_order():
    frame = as_frame(ROWS)
    assert list(frame.columns) == COLUMNS
    assert frame["unit"].tolist() == ["%", "%", "%", "images/s"]
    assert frame["kind"].tolist() == ["zero-shot", "tuned", "tuned", "cost"]
    order = as_frame([row(scheme="D", group=g) for g in ("D-Few", "D-Many", "D-Medium")])
    assert order["group"].tolist() == ["D-Many", "D-Medium", "D-Few"]


def test_no_rows_is_a_table_too(tmp_path):
    write_frame(tmp_path / "none.csv", as_frame([]))
    assert len(read_frame(tmp_path / "none.csv")) == 0
    assert len(concatenate([as_frame([]), as_frame(ROWS)])) == len(ROWS)
    assert len(concatenate([])) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "guess"}, "unknown kind; known: zero-shot"),
        ({"metric": "top5"}, "unknown metric"),
        ({"group": "D-Few"}, "group that is not of its scheme"),
        ({"value": 101.0}, "value outside 0..100 %.*loss=la"),
        (
            {"value": float("nan")},
            "no accuracy .write it, or leave the row out. in the row.*loss=la",
        ),
        ({"ci_low": 63.0}, "ci_low above ci_high"),
        ({"unit": "fraction"}, "unit"),
        ({"seed": "zero"}, "column 'seed' must hold numbers"),
        ({"peft": None}, "column 'peft' must hold text"),
        ({"extra": 1}, "unknown column 'extra'"),
    ],
)
def test_bad_rows_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        as_frame([row(**changes)])


def test_duplicates_missing_columns_and_impossible_accuracies_are_refused():
    with pytest.raises(UserError, match=r"same number twice: in the row run=world, dataset"):
        as_frame([row(), row(value=5.0)])
    with pytest.raises(UserError, match="twice"):
        concatenate([as_frame([row()]), as_frame([row()])])
    with pytest.raises(UserError, match="accuracy outside"):
        as_frame([class_row(accuracy=150.0)], PER_CLASS)
    with pytest.raises(UserError, match="column 'ci_low' is missing"):
        as_frame([{k: v for k, v in row().items() if k != "ci_low"}])


def test_bad_files_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"none.csv: no such file"):
        read_frame(tmp_path / "none.csv")
    with pytest.raises(UserError, match=r"\.parquet or \.csv"):
        read_frame(tmp_path / "scores.json")
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 but no more")
    with pytest.raises(UserError, match=r"broken.parquet: not a score table"):
        read_frame(broken)
    csv = tmp_path / "other.csv"
    csv.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"other.csv: score table: column"):
        read_frame(csv)
    write_frame(tmp_path / "scores.parquet", as_frame(ROWS))
    with pytest.raises(UserError, match="table of class accuracies"):
        read_frame(tmp_path / "scores.parquet", PER_CLASS)


def test_numbers_are_rounded_but_priors_are_not():
    assert as_frame([row(value=1 / 3)])["value"].item() == 0.333333
    classes = as_frame([class_row()], PER_CLASS)
    assert classes["q"].item() == 1.234567891e-7
    assert not np.isnan(classes["accuracy"].item())

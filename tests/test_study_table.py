"""The study as a file: what is written is read, and every mistake is one line."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtail.errors import UserError
from dualtail.study_table import Prediction, file_of, read_study, write_study

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\x00"), max_size=8)
ROWS = st.builds(
    Prediction,
    *([WORDS] * 6),
    seed=st.none() | st.integers(0, 10**6),
    adjustment=WORDS,
    fusion=WORDS,
    explained=st.booleans(),
)
ROW = Prediction("tuned", "photos", "clip", "vpt-la-1", "vpt", "la", 1, explained=True)


@given(rows=st.lists(ROWS, min_size=1, max_size=5))
def test_what_is_written_is_read(rows: list[Prediction], tmp_path_factory) -> None:
    path = tmp_path_factory.mktemp("study") / "study.csv"
    write_study(path, rows)
    assert read_study(path) == rows


def test_rows_of_one_dataset(tmp_path: Path) -> None:
    other = ROW._replace(dataset="places")
    write_study(tmp_path / "s.csv", [ROW, other, ROW._replace(variant="zero-shot", seed=None)])
    assert read_study(tmp_path / "s.csv", "places") == [other]
    with pytest.raises(UserError, match="no prediction of dataset 'x'; it has: photos, places"):
        read_study(tmp_path / "s.csv", "x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"s\.csv: cannot be read"),
        (b"\xff\xfe", "not UTF-8"),
        (b"", r"s\.csv: no rows"),
        (b"dataset,members,variant\na,b,c\n", "no column 'kind'; it has dataset, members, variant"),
        (b"HEAD\n", r"s\.csv: no rows"),
        (b"HEAD\n" + b"x" * 200_000, r"s\.csv: not a CSV file"),
        (b"HEAD\ntuned,a,b,c,d,e,one,f,g,true\n", "line 2: seed 'one'"),
        (b"HEAD\ntuned,a,b,c,d,e,1,f,g,yes\n", "line 2: seed '1' or explained 'yes'"),
        (b"HEAD\ntuned,a,b,c,d,e," + b"9" * 5000 + b",f,g,true\n", "line 2: seed '999"),
        (b"HEAD\ntuned,a,b\n", "line 2: not 10 columns"),
    ],
)
def test_files_that_are_no_study(tmp_path: Path, text: bytes | None, message: str) -> None:
    if text is not None:
        head = ",".join(Prediction._fields).encode()
        (tmp_path / "s.csv").write_bytes(text.replace(b"HEAD", head))
    with pytest.raises(UserError, match=message):
        read_study(tmp_path / "s.csv")


def test_files_of_predictions(tmp_path: Path) -> None:
    folder = tmp_path / "photos/clip"
    folder.mkdir(parents=True)
    (folder / "vpt-la-1.json").touch()
    study = Path("study.csv")
    for pattern in ("{dataset}/{members}/{variant}.json", "{dataset}/{member}/{variant}.json"):
        assert file_of(ROW, f"{tmp_path}/{pattern}", study) == folder / "vpt-la-1.json"
    lost = f"{tmp_path}/{{dataset}}/{{members}}/x.json"
    with pytest.raises(
        UserError, match=r"photos/clip/x\.json: no such file, but study\.csv lists it"
    ):
        file_of(ROW, lost, study)
    for wrong in ("{split}/a", "{}/a", "{dataset", "{dataset.__class__}", "{dataset:>99999999999}"):
        with pytest.raises(UserError, match="may stand in braces"):
            file_of(ROW, wrong, study)

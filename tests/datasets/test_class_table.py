"""Tables per class as people have them: every form gives every class its own value."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtail.datasets.class_table import read_class_table
from dualtail.datasets.train_counts import read_counts_csv
from dualtail.errors import UserError

NAMES = ["ant", "great white shark", "cat"]
COUNTS = [5, 300, 12]


@pytest.mark.parametrize(
    "text",
    [
        "class_index,class_name,count\n0,ant,5\n1,great white shark,300\n2,cat,12\n",
        "label,count\n1,300\n2,12\n0,5\n",
        ",count\n1,300\n2,12\n0,5\n",  # pandas: value_counts().to_csv()
        "class,count\n1.0,300.0\n2.0,12.0\n0.0,5.0\n",
        "class,count\ncat,12\nGreat_White Shark,300\nant,5\n",
        "\ufeffclass_name;count;more\r\ncat;12;x\r\nant;5;y\r\ngreat white shark;300;z\r\n",
        "count\tname\n12\tcat\n5\tant\n300\tgreat white shark\n",
        "Class Name,count\ncat,12\nant,5\ngreat white shark,300\n",
        "\n5\n300\n12\n",
        "count\n5\n300\n12\n",
    ],
)
def test_every_class_gets_its_own_value(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    (tmp_path / "counts.csv").write_text(text, encoding="utf-8", newline="")
    assert read_counts_csv(tmp_path / "counts.csv", NAMES).tolist() == COUNTS
    by_position = text.lstrip().startswith(("count\n", "5"))
    assert ["line by line in label order" in note for note in caplog.messages] == [
        True
    ] * by_position


@given(st.permutations(range(6)))
def test_the_order_of_lines_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, order: list[int]
) -> None:
    path = tmp_path_factory.mktemp("t") / "t.csv"
    path.write_text("index,v\n" + "".join(f"{i},{i * 0.1}\n" for i in order))
    np.testing.assert_allclose(read_class_table(path, ["v"]).numbers("v"), np.arange(6) * 0.1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "name,count\nant,1\nantt,2\ncat,3\n",
            "line 3: 'antt' is no class of the dataset, did you",
        ),
        ("name,count\nant,1\nAnt,2\ncat,3\n", "line 3: class 0 is on line 2 already"),
        ("label,count\n1,1\n2,2\n3,3\n", "class 0 is missing; .*they seem to count from 1"),
        ("label,count\n0,1\n1,2\n", "2 classes; the dataset has 3"),
        ("count,count\n1,1\n2,2\n3,3\n", "two columns 'count'"),
        ("label,n\n0,1\n1,2\n2,3\n", "no column 'count'; it has: label, n"),
        ("count\n1\n-2\n3\n", "line 3: count -2 is not a whole number"),
        ("count\n1\nmany\n3\n", "line 3: count 'many' is not a number"),
        ("count\n1\n1e300\n3\n", r"line 3: count 1e\+300 is not a whole number"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "counts.csv").write_text(text)
    with pytest.raises(UserError, match=rf"counts\.csv: {message}") as refused:
        read_counts_csv(tmp_path / "counts.csv", NAMES)
    assert "\n" not in str(refused.value)


def test_names_that_come_twice_need_an_index(tmp_path: Path) -> None:
    twice = ["missile", "missile"]
    (tmp_path / "a.csv").write_text("name,count\nmissile,1\nmissile,2\n")
    with pytest.raises(UserError, match="two classes of the dataset share a name; add class_index"):
        read_counts_csv(tmp_path / "a.csv", twice)
    (tmp_path / "a.csv").write_text("class_index,name,count\n1,missile,2\n0,missile,1\n")
    assert read_counts_csv(tmp_path / "a.csv", twice).tolist() == [1, 2]

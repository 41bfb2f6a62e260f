"""Tables of conditions, and rows spread over classes."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtail.errors import UserError
from dualtail.explain.conditions import (
    read_conditions,
    read_list,
    spread_over_classes,
    write_conditions,
)

TABLE = 'path_test,path_both,path_hidden,label\nt/0,"b/0, x",h/0,2\nt/1,b/1,h/1,0\n'


def test_a_table(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(TABLE)
    found = read_conditions(path, ["hidden", "both"], 3)
    assert list(found) == ["hidden", "both"]
    assert found["both"].paths == ["b/0, x", "b/1"]
    assert found["hidden"].paths == ["h/0", "h/1"]
    assert found["both"].labels.tolist() == found["hidden"].labels.tolist() == [2, 0]
    assert found["both"].hash != found["hidden"].hash
    write_conditions(tmp_path / "again.csv", found)
    again = read_conditions(tmp_path / "again.csv", ["both", "hidden"], 3)
    assert again["both"].hash == found["both"].hash
    assert again["hidden"].hash == found["hidden"].hash


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no column 'path_both'; it has none"),
        ("path_both,label\n", "no column 'path_hidden'"),
        ("path_both,path_hidden\na,b\n", "no column 'label'"),
        ("path_both,path_hidden,label\n", "no images"),
        ("path_both,path_hidden,label\na,b,-1\n", "line 2: label '-1'"),
        ("path_both,path_hidden,label\na,b,1\na,b\n", "line 3: label ''"),
        ("path_both,path_hidden,label\na,,1\n", "line 2: path_hidden is empty"),
        ("path_both,path_hidden,label\na,b,3\n", "label 3 is outside 0..2"),
    ],
)
def test_wrong_tables(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=complaint):
        read_conditions(path, ["both", "hidden"], 3)


def test_a_plain_list(tmp_path: Path) -> None:
    path = tmp_path / "test.txt"
    path.write_text("a 0\nb 0\nc 1\nd 0\n")
    found = read_list(path, 2, 2)["visible"]
    assert found.paths == ["a", "c"]
    assert found.labels.tolist() == [0, 1]
    assert len(read_list(path, 100)["visible"]) == 4


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(1, 50))
def test_rows_are_spread_evenly(labels: list[int], most: int) -> None:
    found = spread_over_classes(np.array(labels), most)
    # By hand: take turns, the first of every class, then the second ...
    turns = sorted(range(len(labels)), key=lambda i: (labels[:i].count(labels[i]), i))
    assert found.tolist() == sorted(turns[:most])

"""Class names in every form that is published: each label gets its name."""

import json
from pathlib import Path

import pytest

from dualtail.datasets.class_names import read_class_names
from dualtail.datasets.name_file import read_name_file
from dualtail.errors import UserError

NAMES = ["ant", "great white shark", "cat"]
WNIDS = ["n00000001", "n00000002", "n00000003"]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("names.txt", "ant\ngreat white shark\ncat\n"),
        ("names.txt", "\ufeffant\r\ngreat white shark\r\ncat"),
        ("names.txt", "name\nant\ngreat white shark\ncat\n"),
        ("names.csv", "name\nant\ngreat white shark\ncat\n"),
        ("names.csv", "id,name\n2,cat\n0,ant\n1,great white shark\n"),
        ("names.txt", "class_index,class_name\n2,cat\n0,ant\n1,great white shark\n"),
        ("names.txt", "/c/cat 2\n/a/ant 0\n/g/great white shark 1\n"),
        ("names.json", json.dumps(NAMES)),
        ("names.txt", json.dumps(NAMES, indent=1)),
        ("names.json", json.dumps({"2": "cat", "0": "ant", "1": "great white shark"})),
        ("names.json", json.dumps({"cat": 2, "ant": 0, "great white shark": 1})),
        ("names.json", json.dumps([{"id": 2 - i, "name": n} for i, n in enumerate(NAMES[::-1])])),
    ],
)
def test_names_in_every_form(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / file).write_text(text, encoding="utf-8", newline="")
    assert read_class_names(tmp_path / file) == NAMES


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"{w} {n}, {n}us vulgaris\n" for w, n in zip(WNIDS, NAMES, strict=True)),
        json.dumps({str(i): [w, n] for i, (w, n) in enumerate(zip(WNIDS, NAMES, strict=True))}),
    ],
)
def test_folders_that_the_file_says(tmp_path: Path, text: str) -> None:
    (tmp_path / "names").write_text(text)
    found = read_name_file(tmp_path / "names")
    assert (found.names, found.folders) == (NAMES, WNIDS)


def test_two_classes_of_one_name_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "n.txt").write_text("missile\ncat\nmissile\n")
    assert read_class_names(tmp_path / "n.txt") == ["missile", "cat", "missile"]
    assert caplog.messages == [f"{tmp_path}/n.txt: classes 0 and 2 are both 'missile'"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no class names"),
        ("a\n\nb\n", "line 2: blank class name"),
        ("[", "begins like JSON, but is not"),
        ("[1, 2]", "JSON, but no class names"),
        ('{"0": "a", "2": "b"}', r"ids of its classes must be 0\.\.1, each once"),
        ('[{"id": 0, "name": ""}]', "blank class name"),
        ("id,count\n0,1\n1,2\n", "no column of names; it has: id, count"),
        ("[" * 5000, "begins like JSON, but is not"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "n.csv" if "count" in text else tmp_path / "n.txt").write_text(text)
    (file,) = tmp_path.iterdir()
    with pytest.raises(UserError, match=message) as refused:
        read_class_names(file)
    assert str(refused.value).startswith(str(file))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{0: 'ant, emmet',\n 1: 'bee'}", ["ant, emmet", "bee"]),  # as Python prints it
        ("['ant', 'bee']", ["ant", "bee"]),
        ("1\tbee\n0\tant\n", ["ant", "bee"]),
        ("0,ant\n1,bee\n", ["ant", "bee"]),
        ("0: ant\n1: bee\n", ["ant", "bee"]),
        ("ant, 0\nbee, 1\n", ["ant", "bee"]),
        ('"ant"\n"bee"\n', ["ant", "bee"]),
        ("class_index,class_name,count\n1,bee,3\n0,ant,5\n", ["ant", "bee"]),
        ("n01440764 1 tench\nn01443537 2 goldfish\n", ["tench", "goldfish"]),
        ("001.Albatross\n002.Auklet\n", ["001.Albatross", "002.Auklet"]),  # as folders have them
        ("boeing 737\nboeing 747\n", ["boeing 737", "boeing 747"]),
        ("1 euro\n2 euro\n", ["1 euro", "2 euro"]),
        ("class 0\nclass 1\n", ["class 0", "class 1"]),
    ],
)
def test_labels_beside_names_and_numbers_in_names(
    tmp_path: Path, text: str, names: list[str]
) -> None:
    (tmp_path / "n.txt").write_text(text)
    assert read_name_file(tmp_path / "n.txt").names == names


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("n.txt", "".join(f"{i} {i:03}.bird\n" for i in range(1, 21)), "seem to count from 1"),
        ("n.txt", "1\tant\n2\tbee\n", "seem to count from 1"),
        ("n.txt", '{"1": "ant", "2": "bee"}', "seem to count from 1"),
        ("n.txt", '{"0": "ant", "0": "bee"}', "a key comes twice"),
        ("n.txt", '{"classes": ["ant"]}', "no class names: an object with the keys 'classes'"),
        ("n.txt", '{"' + "9" * 5000 + '": "ant"}', "no class names: an object"),
        ("n.yaml", "- ant\n- bee\n", "not from YAML"),
    ],
)
def test_what_would_be_read_wrong_is_refused(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        read_name_file(tmp_path / name)

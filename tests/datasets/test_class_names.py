"""Class names in three formats, corrected and as published; on the real files where they are here."""

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dualtail.datasets.class_names import dataset_class_names, label_folders, read_class_names
from dualtail.datasets.image_folder import read_image_folder
from dualtail.datasets.image_list import ImageList, read_image_list
from dualtail.errors import UserError
from dualtail.outputs import Outputs, check_outputs

PLACES_PERMUTED = [116, 117, 118, 141, 142]


def images(*rows: tuple[str, int]) -> ImageList:
    return ImageList(
        Path("train.txt"), [path for path, _ in rows], np.array([label for _, label in rows])
    )


TOY = images(("train/b/1.jpg", 0), ("train/a/1.jpg", 1), ("train/b/2.jpg", 0))


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_names_follow_the_folders_of_the_images(tmp_path: Path) -> None:
    path = write(tmp_path / "n.txt", "a great white shark\nb  owl\nc unused\n")
    assert dataset_class_names(path, "folders", "corrected", TOY) == ["owl", "great white shark"]
    published = dataset_class_names(path, "folders", "as_published", TOY)
    assert published == ["great white shark", "owl", "unused"]


def test_two_classes_may_have_one_name_but_not_one_folder(tmp_path: Path) -> None:
    path = write(tmp_path / "n.txt", "a missile\nb missile\n")
    assert dataset_class_names(path, "folders", "corrected", TOY) == ["missile", "missile"]
    path = write(tmp_path / "n.txt", "a missile\na rocket\n")
    with pytest.raises(UserError, match="line 2: folder 'a' is on line 1 already"):
        dataset_class_names(path, "folders", "corrected", TOY)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a x\nb\n", "line 2: 'b' is not `folder class name`"),
        ("a x\nc y\n", "no line for the folder 'b' of train.txt"),
        ("", "no class names"),
        ("a x\n\nb y\n", "line 2: blank"),
    ],
)
def test_bad_folder_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        dataset_class_names(write(tmp_path / "n.txt", text), "folders", "corrected", TOY)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("a/1", 0), ("b/1", 0)], "label 0 has images in the folders 'a' and 'b'"),
        ([("a/1", 0), ("a/2", 1)], "folder 'a' has images of the labels 0 and 1"),
        ([("a/1", 0), ("b/1", 2)], "no image of label 1"),
    ],
)
def test_lists_without_a_folder_a_class_are_refused(
    rows: list[tuple[str, int]], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        label_folders(images(*rows), Path("n.txt"))


def test_categories_go_by_id_whatever_their_order(tmp_path: Path) -> None:
    entries = [{"id": 1, "name": "Ara"}, {"id": 0, "name": "Zea"}]
    path = write(tmp_path / "categories.json", json.dumps(entries))
    assert dataset_class_names(path, "categories", "corrected", TOY) == ["Zea", "Ara"]
    assert dataset_class_names(path, "categories", "as_published", TOY) == ["Zea", "Ara"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "begins like JSON, but is not"),
        ('{"a": 1}', r"must be 0\.\.0"),
        ('[{"id": 0}]', "a category needs a whole number `id`"),
        ("[]", "no categories"),
        ('[{"id": 0, "name": ""}]', "class 0: blank class name"),
        ('[{"id": 1, "name": "a"}]', r"must be 0\.\.0"),
        ('[{"id": 0, "name": "a"}, {"id": 0, "name": "b"}]', "category id 0 comes twice"),
        ('[{"id": 0, "name": "a"}, {"id": 1, "name": "a"}]', "'a' comes twice"),
    ],
)
def test_bad_categories_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        dataset_class_names(write(tmp_path / "c.json", text), "categories", "corrected", TOY)


def test_compressed_files_and_what_only_looks_like_one(tmp_path: Path) -> None:
    (tmp_path / "n.txt.gz").write_bytes(gzip.compress(b"cat\ndog\n"))
    assert read_class_names(tmp_path / "n.txt.gz") == ["cat", "dog"]
    whole = gzip.compress(b"x 0\n" * 1000)
    for name, data in (("cut.txt.gz", whole[:-9]), ("plain.txt.gz", b"x 0\n")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match="truncated or not a gzip file"):
            read_image_list(tmp_path / name)


def test_places_names_are_right_where_the_published_ones_are_not(shared: Path) -> None:
    folder = shared / "data/splits/Places_LT"
    found = read_image_list(folder / "Places_LT_val.txt.gz", 365)
    args = (folder / "classnames.txt", "folders")
    corrected = dataset_class_names(*args, "corrected", found)  # type: ignore[arg-type]
    published = dataset_class_names(*args, "as_published", found)  # type: ignore[arg-type]
    with (folder / "folder_by_label.csv").open() as stream:
        truth = [row["folder"] for row in csv.DictReader(stream)]
    assert corrected == truth
    assert [c for c in range(365) if corrected[c] != published[c]] == PLACES_PERMUTED


def test_inaturalist_ids_agree_with_the_folders_of_every_image(shared: Path) -> None:
    folder = shared / "data/splits/iNaturalist18"
    found = read_image_list(folder / "iNaturalist18_val.txt.gz", 8142)
    path = folder / "categories.json.gz"
    kingdom = {
        e["name"]: e["supercategory"] for e in json.loads(gzip.decompress(path.read_bytes()))
    }

    names = dataset_class_names(path, "categories", "corrected", found)
    assert len(names) == 8142
    pairs = zip(found.paths, found.labels.tolist(), strict=True)
    assert all(kingdom[names[label]] == image.split("/")[1] for image, label in pairs)


@pytest.mark.parametrize("bad", ["a\x1b[31mb", "a\tb", "a\u0085b", " "])
@pytest.mark.parametrize(
    "door", ["lines", "json", "csv", "categories", "folders", "folder", "dump"]
)
def test_names_that_a_terminal_would_obey_are_refused(
    tmp_path: Path, outputs_of: Callable[..., Outputs], door: str, bad: str
) -> None:
    path = tmp_path / ("n.csv" if door == "csv" else "n")
    if door == "dump":
        dump = outputs_of(np.eye(2, dtype=np.float32), np.arange(2), class_names=["x", bad])
        read = lambda: check_outputs(dump)  # noqa: E731
    elif door == "folder":
        for name in ("x", bad):
            (path / name).mkdir(parents=True)
        read = lambda: read_image_folder(path)  # noqa: E731
    else:
        formats = {
            "lines": f"x\n{bad}\n",
            "json": json.dumps(["x", bad]),
            "csv": f"id,name\n0,x\n1,{bad}\n",
            "categories": json.dumps([{"id": 0, "name": "x"}, {"id": 1, "name": bad}]),
            "folders": f"b x\na {bad}\n",
        }
        write(path, formats[door])
        format = door if door in ("categories", "folders") else "lines"
        read = lambda: dataset_class_names(path, format, "corrected", TOY)  # noqa: E731
    with pytest.raises(UserError, match=r"control character|blank|not `folder") as refused:
        read()
    assert str(refused.value).isprintable()

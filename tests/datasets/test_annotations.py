"""Lists from annotations in JSON, as iNaturalist, COCO, BBN and LIFT have them."""

import gzip
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from dualtail.datasets.image_list import read_image_list
from dualtail.datasets.make_lists import lists_from_annotations
from dualtail.datasets.settings import AnnotationLists, ListSource
from dualtail.errors import UserError
from dualtail.stages import make_lists

INAT = {
    "info": {"year": 2018},
    "images": [
        {"id": 7, "file_name": "train/a 1.jpg", "height": 5, "license": 1},
        {"id": 9, "file_name": "./train/b.jpg", "height": 5, "license": 1},
    ],
    "annotations": [
        {"id": 0, "image_id": 9, "category_id": 0},
        {"id": 1, "image_id": 7, "category_id": 1},
    ],
    "categories": [
        {"id": 1, "name": "bee", "supercategory": "Insecta"},
        {"id": 0, "name": "ant", "supercategory": "Insecta"},
    ],
}
BBN = {
    "annotations": [
        {"image_id": 1, "im_height": 5, "fpath": "/data/inat/train/b.jpg", "category_id": 0},
        {"image_id": 2, "im_height": 5, "fpath": "/data/inat/train/a 1.jpg", "category_id": 1},
    ],
    "num_classes": 2,
}
ROWS = [("train/b.jpg", 0), ("train/a 1.jpg", 1)]


def source(folder: Path, content: Any, **more: Any) -> AnnotationLists:
    (folder / "train.json").write_text(json.dumps(content))
    return AnnotationLists(splits={"train": folder / "train.json"}, **more)


def changed(content: dict[str, Any], **parts: Any) -> dict[str, Any]:
    return {key: value for key, value in (content | parts).items() if value is not None}


def test_labels_go_by_the_ids_of_the_categories(tmp_path: Path) -> None:
    lists = lists_from_annotations(source(tmp_path, INAT))
    assert (lists.splits, lists.class_names) == ({"train": ROWS}, ["ant", "bee"])
    (tmp_path / "names.txt").write_text("Ant\nBee\n")
    named = source(tmp_path, INAT, class_names=tmp_path / "names.txt")
    assert lists_from_annotations(named).class_names == ["Ant", "Bee"]


def test_bbn_has_paths_in_its_annotations_and_no_names(tmp_path: Path) -> None:
    (tmp_path / "categories.json").write_text(json.dumps(INAT["categories"]))
    more = {"class_names": tmp_path / "categories.json", "strip": "/data/inat"}
    lists = lists_from_annotations(source(tmp_path, BBN, **more))
    assert (lists.splits, lists.class_names) == ({"train": ROWS}, ["ant", "bee"])
    paths = [{"image_id": path, "category_id": label} for path, label in ROWS]
    lists = lists_from_annotations(source(tmp_path, {"annotations": paths}, **more))
    assert lists.splits == {"train": ROWS}


def test_ids_with_gaps_are_ranked_as_those_of_coco(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    categories = [{"id": i, "name": n} for i, n in ((90, "cat"), (1, "ant"), (3, "bee"))]
    boxes = [
        {"image_id": 9, "category_id": 90, "bbox": [1, 2, 3, 4]},
        {"image_id": 9, "category_id": 90, "bbox": [5, 2, 3, 4]},
    ]
    found = lists_from_annotations(
        source(tmp_path, changed(INAT, annotations=boxes, categories=categories))
    )
    assert (found.splits["train"], found.class_names) == (
        [("train/b.jpg", 2)],
        ["ant", "bee", "cat"],
    )
    assert "ids 1 to 90 became labels 0 to 2" in caplog.text
    assert "1 annotations repeat an image that has one already" in caplog.text
    assert "1 images without annotation left out" in caplog.text


def test_the_verb_writes_lists_that_are_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    (tmp_path / "t.json.gz").write_bytes(gzip.compress(json.dumps(INAT).encode()))
    (tmp_path / "v.json").write_text(json.dumps(INAT))
    splits = {"train": tmp_path / "t.json.gz", "test": tmp_path / "v.json"}
    made = ListSource(annotations=AnnotationLists(splits=splits))
    make_lists.run(made, tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(made.files)
    found = read_image_list(tmp_path / "out/test.txt", 2)
    assert list(zip(found.paths, found.labels.tolist(), strict=True)) == ROWS
    assert (tmp_path / "out/classnames.txt").read_text() == "ant\nbee\n"
    assert not caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "no list of annotations in it$"),
        (changed(INAT, annotations=None), "no list of annotations in it; a test set without"),
        (changed(INAT, categories=None), "no class names in it; give class_names=FILE"),
        (changed(INAT, categories=[{"id": "0", "name": "a"}]), "a category needs a whole number"),
        (changed(INAT, categories=INAT["categories"] * 2), "category id 1 comes twice"),
        (
            changed(INAT, categories=[{"id": 0, "name": "a"}]),
            "annotation 1 .*category_id 1 is none",
        ),
        (changed(INAT, images=INAT["images"] * 2), "image 2 .*id 7 is that of train/a 1.jpg"),
        (changed(INAT, images=INAT["images"][:1]), "annotation 0 .*image_id 9 is no id"),
        (changed(INAT, images=[{"id": 1}]), "its images must be"),
        (changed(INAT, images=[{"id": 1.5, "file_name": "a"}]), "image 0 .*id 1.5 or file_name"),
        (changed(INAT, annotations=[{"image_id": 9}]), "annotation 0 .*no category_id"),
        (
            changed(INAT, annotations=[{"image_id": 9, "category_id": c} for c in (0, 1)]),
            "annotation 1 .*b.jpg is of category 1, and of 0 above",
        ),
        (changed(INAT, annotations=[{"image_id": [9], "category_id": 0}]), "is no id"),
        (changed(INAT, annotations=[{"image_id": 9, "category_id": True}]), "category_id True"),
        (changed(INAT, annotations=[{"image_id": 9, "category_id": 10**30}]), "is none of"),
        (changed(INAT, images=[{"id": 9, "file_name": "../b.jpg"}]), "is no id|a path inside"),
        (changed(BBN, num_classes="2"), "num_classes '2'"),
        (BBN, r"'/data/inat/train/b.jpg' must be a path inside .*strip=FOLDER"),
        ({"annotations": [{"image_id": 3, "category_id": 0}]}, "no path: neither"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        lists_from_annotations(source(tmp_path, content))


@pytest.mark.parametrize(
    ("content", "names", "message"),
    [
        (INAT, "a\nb\nc\n", "3 class names for the 2 categories"),
        (BBN, "a\nb\nc\n", "num_classes 2, but there are 3 class names"),
        (
            changed(BBN, num_classes=None),
            "a\n",
            r"category_id 1 has no class name \(1 class names\)",
        ),
    ],
)
def test_names_of_another_file_must_fit(
    tmp_path: Path, content: Any, names: str, message: str
) -> None:
    (tmp_path / "names.txt").write_text(names)
    more = {"class_names": tmp_path / "names.txt", "strip": "/data/inat/"}
    with pytest.raises(UserError, match=message):
        lists_from_annotations(source(tmp_path, content, **more))


def test_files_that_are_none_or_do_not_go_together(tmp_path: Path) -> None:
    settings = source(tmp_path, INAT)
    (tmp_path / "train.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="not JSON"):
        lists_from_annotations(settings)
    source(tmp_path, INAT)
    (tmp_path / "test.json").write_text(
        json.dumps(changed(INAT, categories=[{"id": 0, "name": "x"}, {"id": 1, "name": "y"}]))
    )
    splits = {name: tmp_path / f"{name}.json" for name in ("train", "test")}
    with pytest.raises(UserError, match=r"train.json and .*test.json: different categories"):
        lists_from_annotations(AnnotationLists(splits=splits))

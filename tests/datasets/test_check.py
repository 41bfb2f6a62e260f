"""Checking datasets: every kind of trouble is found, named and counted; the official lists pass."""

import gzip
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dualtail.datasets.check import DatasetCheck, check_dataset, group_sizes
from dualtail.datasets.how_to_get import get_images, get_list
from dualtail.datasets.known_lists import official_list


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    (tmp_path / "train.txt").write_text("a.jpg 0\nb.jpg 1\nc.jpg 1\n")
    (tmp_path / "test.txt").write_text("d.jpg 0\ne.jpg 1\n")
    for name in "abcde":
        (tmp_path / f"{name}.jpg").write_text(f"never decoded {name}")
    return tmp_path


def check(folder: Path, official: str = "") -> DatasetCheck:
    splits = {s: (folder / f"{s}.txt", folder) for s in ("train", "test")}
    return check_dataset(folder / "names.txt", "lines", "corrected", splits, official)


def test_a_whole_dataset_has_no_problem(folder: Path) -> None:
    found = check(folder)
    assert found.problems == []
    assert found.names == ["cat", "dog"]
    assert any("3 images, 2 to 1 per class" in fact for fact in found.facts)
    assert any("0 / 0 / 2 classes" in fact for fact in found.facts)
    assert found.lines[-1] == "ok: every image is there"


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("train.txt", None, r"train\.txt: no such train list"),
        ("train.txt", "", "empty image list"),
        ("names.txt", None, r"names\.txt: no such file of class names; put it there"),
        ("names.txt", "cat\n", r"line 2: b\.jpg: label 1 is outside 0\.\.0 \(1 class names\)"),
        ("names.txt", "cat\ndog\nowl\n", r"1 of 3 classes without a training image: 2 \(owl\)"),
        ("test.txt", "d.jpg 0\ne.jpg 2\n", r"line 2: e\.jpg: label 2 is outside"),
        ("e.jpg", None, r"test\.txt line 2: e\.jpg: not in .* \(1 of 2 images missing\)"),
    ],
)
def test_what_is_wrong_is_named(folder: Path, file: str, text: str | None, message: str) -> None:
    if text is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(text)
    found = check(folder)
    assert re.search(message, found.problems[0])
    assert f"WRONG  {found.problems[0]}" in found.lines
    assert "ok: every image is there" not in found.lines


def test_images_in_two_splits_are_reported_but_allowed(folder: Path) -> None:
    (folder / "test.txt").write_text("a.jpg 0\nd.jpg 0\nd.jpg 1\ne.jpg 1\n")
    found = check(folder)
    assert found.problems == []
    notes = [fact for fact in found.facts if fact.startswith("note") and "D-Few" not in fact]
    assert len(notes) == 3
    assert "test: 1 lines repeat an image" in notes[0]
    assert "test: d.jpg has two labels, 0 and 1" in notes[1]
    assert "1 images are in train and test, e.g. a.jpg" in notes[2]


@pytest.mark.parametrize("kinds", ["folder folder", "zip zip", "zip folder", "folder zip"])
def test_the_same_picture_under_two_names_is_reported(folder: Path, kinds: str) -> None:
    """Equal in size and in the middle is not equal."""
    bytes_of = {"a": b"x" * 9000, "b": b"y" + b"x" * 8999, "c": b"z" * 9000}
    bytes_of |= {"d": b"x" * 9000, "e": b"x" * 8999 + b"y"}
    splits = {}
    for split, kind, names in zip(("train", "test"), kinds.split(), ("abc", "de"), strict=True):
        images = folder / (f"{split}.zip" if kind == "zip" else split)
        splits[split] = (folder / f"{split}.txt", images)
        if kind == "zip":
            with zipfile.ZipFile(images, "w", zipfile.ZIP_DEFLATED) as archive:
                for name in names:
                    archive.writestr(f"{name}.jpg", bytes_of[name])
            continue
        images.mkdir()
        for name in names:
            (images / f"{name}.jpg").write_bytes(bytes_of[name])
    found = check_dataset(folder / "names.txt", "lines", "corrected", splits)
    assert found.problems == []
    (note,) = [fact for fact in found.facts if fact.startswith("note") and "D-Few" not in fact]
    assert "1 pictures of test are in train under another name" in note
    assert f"{splits['test'][1]}/d.jpg is {splits['train'][1]}/a.jpg" in note


def test_another_list_is_not_the_official_one(folder: Path) -> None:
    found = check(folder, "places365_lt")
    text = "\n".join(found.problems)
    assert "not the official Places_LT_train.txt" in text
    assert "3 images of 2 classes, expected 62,500 of 365" in text
    assert "have 0 / 0 / 2 classes, expected 131 / 163 / 71" in text
    splits = {s: (folder / f"{s}.txt", folder) for s in ("train", "test")}
    splits["val"] = splits["test"]
    found = check_dataset(folder / "names.txt", "lines", "corrected", splits, "inat2018")
    assert any("inat2018 has no official val list" in problem for problem in found.problems)


def test_the_tables_of_official_lists_agree_with_the_reference(shared: Path) -> None:
    entries = json.loads((shared / "data/splits/expected_official_hashes.json").read_text())
    seen = 0
    for dataset in ("imagenet_lt", "places365_lt", "inat2018"):
        for split in ("train", "val", "test"):
            known = official_list(dataset, split)
            assert (known is None) == ((dataset, split) == ("inat2018", "val"))
            entry = entries.get(known.source.file.removesuffix(".txt")) if known else None
            if known is not None and entry is not None:
                seen += 1
                assert (known.source.bytes, known.source.sha256) == (
                    entry["bytes"],
                    entry["sha256"],
                )
                assert entry.get("lines", known.images) == known.images
            if known is not None and known.groups is not None:
                assert sum(known.groups) == known.classes
    assert seen == 5
    counts = json.loads((shared / "data/splits/ImageNet_LT/cls_num_list_train.json").read_text())
    train = official_list("imagenet_lt", "train")
    assert train is not None
    assert group_sizes(np.array(counts)) == train.groups
    assert sum(counts) == train.images


def test_the_real_places_lists_are_official_and_their_images_missing(
    shared: Path, tmp_path: Path
) -> None:
    folder = shared / "data/splits/Places_LT"
    splits = {s: (folder / f"Places_LT_{s}.txt.gz", tmp_path) for s in ("train", "val", "test")}
    found = check_dataset(folder / "classnames.txt", "folders", "corrected", splits, "places365_lt")
    facts = "\n".join(found.facts)
    for split in splits:
        assert f"{split}: is the official list Places_LT_{split}.txt" in facts
    assert "4,980 to 5 per class" in facts
    assert "131 / 163 / 71 classes" in facts
    assert len(found.problems) == 3
    assert "(62,500 of 62,500 images missing)" in found.problems[0]
    assert f"dualtail download places365_images --to {tmp_path}" in found.problems[0]


def test_what_is_missing_comes_with_the_command_that_fetches_it(tmp_path: Path) -> None:
    splits = {
        "train": (tmp_path / "ImageNet_LT_train.txt", tmp_path),
        "val": (tmp_path / "my_val.txt", tmp_path),
        "test": (tmp_path / "ImageNet_LT_test.txt.gz", tmp_path),
    }
    names = tmp_path / "classnames.txt"
    found = check_dataset(names, "folders", "corrected", splits, "imagenet_lt")
    train, val, test, class_names = found.problems
    command = f"`dualtail download imagenet_lt.train --to {tmp_path}` fetches ImageNet_LT_train.txt"
    assert f"no such train list; {command} from https://" in train
    assert val.endswith(", then name it my_val.txt")
    assert test.endswith(", then name ImageNet_LT_test.txt in the config")
    assert f"`dualtail download imagenet_lt.classnames --to {tmp_path}`" in class_names
    assert "put it there" in get_list("", "train", tmp_path / "x.txt")
    assert "says how to get ILSVRC2012_img_train.tar" in get_images("imagenet_lt", tmp_path)


def test_a_truncated_official_list_is_recognized(shared: Path, tmp_path: Path) -> None:
    source = shared / "data/splits/Places_LT"
    text = gzip.decompress((source / "Places_LT_train.txt.gz").read_bytes()).decode()
    (tmp_path / "train.txt").write_text(text[:1_000_000].rsplit("\n", 1)[0] + "\n")
    splits = {"train": (tmp_path / "train.txt", tmp_path)}
    found = check_dataset(source / "classnames.txt", "folders", "corrected", splits, "places365_lt")
    assert any("truncated at 999," in problem for problem in found.problems)

"""Lists from tables, folders and CIFAR-100, and corpora drawn from lists."""

import csv
import hashlib
import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dualtail.bias.groups import d_groups
from dualtail.datasets.image_list import read_image_list
from dualtail.datasets.long_tail import cifar_counts
from dualtail.datasets.make_lists import (
    lists_from_folder,
    lists_from_table,
)
from dualtail.datasets.settings import (
    CifarLists,
    FolderLists,
    ListSource,
    LongTail,
    LongTailSample,
    TableLists,
)
from dualtail.datasets.train_counts import read_counts_csv
from dualtail.errors import UserError
from dualtail.stages import draw_corpus, make_lists

SPLITS = {"train": {"split": "train", "lt": "1"}, "test": {"split": "test"}}


def table(folder: Path, text: str, names: str = "label,classname\n1,dog\n0,cat\n") -> TableLists:
    (folder / "t.csv").write_text(text)
    (folder / "n.csv").write_text(names)
    return TableLists(table=folder / "t.csv", names_table=folder / "n.csv", splits=SPLITS)


GOOD = "file,split,label,lt\na b.jpg,train,1,1\nc.jpg,train,0,0\nd.jpg,test,0,0\n"


def test_rows_of_a_table_are_selected(tmp_path: Path) -> None:
    lists = lists_from_table(table(tmp_path, GOOD))
    assert lists.splits == {"train": [("a b.jpg", 1)], "test": [("d.jpg", 0)]}
    assert lists.class_names == ["cat", "dog"]


@pytest.mark.parametrize(
    ("text", "names", "message"),
    [
        ("file,split,label,lt\n", "label,classname\n0,a\n", "no rows"),
        ("file,split,label\nx,train,0\n", "label,classname\n0,a\n", "no column 'lt'"),
        ("path,label\nx,0\n", "label,classname\n0,a\n", "no column 'file'; it has path, label"),
        (GOOD.replace("1,1", "2,1"), "label,classname\n0,a\n1,b\n", "label '2' is not in 0..1"),
        (GOOD.replace("1,1", "x,1"), "label,classname\n0,a\n1,b\n", "label 'x'"),
        (GOOD.replace("test", "dev"), "label,classname\n0,a\n1,b\n", "no row with .*splits.test"),
        (GOOD, "label,classname\n0,a\n2,b\n", "labels of 2 classes must be 0..1"),
        (GOOD + "e.jpg,train\n", "label,classname\n0,a\n1,b\n", "line 5: not 4 columns"),
    ],
)
def test_bad_tables_are_refused(tmp_path: Path, text: str, names: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        lists_from_table(table(tmp_path, text, names))


def make_folders(root: Path, sizes: dict[str, int]) -> Path:
    for name, size in sizes.items():
        (root / name).mkdir(parents=True)
        for i in range(size):
            # Not images: nothing is ever opened.
            (root / name / f"{i:03d}.JPG").write_text("")
        (root / name / "notes.txt").write_text("")
    return root


def test_a_folder_gets_the_tail_asked_for(tmp_path: Path) -> None:
    root = make_folders(tmp_path / "images", {"red_fox": 9, "ape": 30, "bee": 20})
    settings = FolderLists(
        folder=root,
        long_tail=LongTail(imbalance_factor=4),
        largest=16,
        val_per_class=2,
        test_per_class=3,
        order="size",
    )
    source = ListSource(folder=settings)
    make_lists.run(source, tmp_path / "one")
    make_lists.run(source, tmp_path / "two")
    for name in ("train.txt", "val.txt", "test.txt", "classnames.txt"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    counts = {s: read_image_list(tmp_path / f"one/{s}.txt", 3).counts(3) for s in ("train", "val")}
    np.testing.assert_array_equal(counts["train"], [16, 8, 4])
    np.testing.assert_array_equal(counts["val"], [2, 2, 2])
    assert (tmp_path / "one/classnames.txt").read_text() == "ape\nbee\nred fox\n"
    random = settings.model_copy(update={"order": "random", "largest": 4, "seed": 1})
    assert sorted(np.bincount([c for _, c in lists_from_folder(random).splits["train"]])) == [
        1,
        2,
        4,
    ]


def test_bad_folders_are_refused(tmp_path: Path) -> None:
    settings = FolderLists(folder=tmp_path / "none", largest=4, test_per_class=1)
    with pytest.raises(UserError, match="no such folder"):
        lists_from_folder(settings)
    root = make_folders(tmp_path / "images", {"a": 3})
    with pytest.raises(UserError, match=r"1 folder\(s\) in it"):
        lists_from_folder(settings.model_copy(update={"folder": root}))
    make_folders(root, {"b": 3})
    few = settings.model_copy(update={"folder": root, "long_tail": LongTail(imbalance_factor=1)})
    with pytest.raises(UserError, match=r"class 0: 1 test.* 3 are there.*0 a, 1 b"):
        lists_from_folder(few)


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as torchvision has it, with 500 and 3 tiny images per class."""
    from torchvision.datasets import CIFAR100

    folder = tmp_path / CIFAR100.base_folder
    folder.mkdir()
    rng = np.random.default_rng(0)
    for (name, _), key, size in (
        (CIFAR100.train_list[0], "train_list", 500),
        (CIFAR100.test_list[0], "test_list", 3),
    ):
        labels = rng.permutation(np.repeat(np.arange(100), size))
        pixels = np.zeros((len(labels), 3072), np.uint8)
        pixels[:, 0], pixels[:, 1] = labels, np.arange(len(labels)) % 251
        data = pickle.dumps({"data": pixels, "fine_labels": labels.tolist()}, protocol=2)
        (folder / name).write_bytes(data)
        monkeypatch.setattr(CIFAR100, key, [[name, hashlib.md5(data).hexdigest()]])
    meta = pickle.dumps({"fine_label_names": [f"class_{c}" for c in range(100)]}, protocol=2)
    (folder / CIFAR100.meta["filename"]).write_bytes(meta)
    monkeypatch.setitem(CIFAR100.meta, "md5", hashlib.md5(meta).hexdigest())
    return tmp_path


def test_cifar_has_the_counts_of_its_ratio_and_the_groups_of_ratio_100(
    cifar: Path, tmp_path: Path
) -> None:
    source = ListSource(cifar100=CifarLists(folder=cifar, imbalance_factor=10))
    make_lists.run(source, tmp_path / "out")
    train = read_image_list(tmp_path / "out/train.txt", 100)
    np.testing.assert_array_equal(train.counts(100), cifar_counts(10))
    assert len(read_image_list(tmp_path / "out/test.txt", 100)) == 300
    assert len(set(train.paths)) == len(train)
    with zipfile.ZipFile(tmp_path / "out/images.zip") as archive:
        for row in (0, 700, len(train) - 1):
            pixels = np.asarray(Image.open(io.BytesIO(archive.read(train.paths[row]))))
            assert pixels[0, 0, 0] == train.labels[row]
    names = [f"class {c}" for c in range(100)]
    assert (tmp_path / "out/classnames.txt").read_text().splitlines() == names
    counts = read_counts_csv(tmp_path / "out/group_counts.csv", names)
    assert counts.tolist() == [int(500 * 0.01 ** (c / 99)) for c in range(100)]
    assert [len(group) for group in d_groups(counts).values()] == [35, 35, 30]


def test_a_corpus_of_a_list_whose_names_are_by_folder(tmp_path: Path) -> None:
    (tmp_path / "n.txt").write_text("n2 dog\nn1 cat\n")
    (tmp_path / "l.txt").write_text("train/n1/a.jpg 0\ntrain/n2/b.jpg 1\n")
    drawn, names = tmp_path / "o/l.txt", tmp_path / "o/n.txt"
    source = (tmp_path / "l.txt", tmp_path / "n.txt")
    draw_corpus.run(*source, "folders", "corrected", LongTailSample(size=4), drawn, names)
    assert names.read_text() == "cat\ndog\n"


def test_caltech_has_its_published_counts(shared: Path) -> None:
    folder = shared / "data/images/caltech101"
    settings = TableLists(
        table=folder / "labels.csv.gz",
        names_table=folder / "classes.csv",
        splits={**SPLITS, "photographs": {"split": "train"}},
    )
    lists = lists_from_table(settings)
    assert {s: len(rows) for s, rows in lists.splits.items()} == {
        "train": 6267,
        "test": 1000,
        "photographs": 6742,
    }
    with (folder / "classes.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    counts = np.bincount([label for _, label in lists.splits["train"]], minlength=100)
    assert counts.tolist() == [int(row["lt_train"]) for row in rows]
    assert lists.class_names == [row["classname"] for row in rows]

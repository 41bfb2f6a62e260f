"""Verbs on image lists and images as a user types them."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from dualtail.bias.prior.table import write_prior_csv
from dualtail.datasets.image_list import read_image_list
from dualtail.datasets.train_counts import read_counts_csv

Run = Callable[..., Result]
CHECK = [
    *["check-dataset", "toy", "--class-names", "names.txt", "--train-counts", "out/counts.csv"],
    *["--split", "train", "train.txt", "images.zip", "--split", "test", "test.txt", "images.zip"],
]
PACK = ["pack", "--images", "images.zip", "--class-names", "names.txt", "--side", "8"]


@pytest.fixture
def toy(run: Run) -> None:
    """Three classes, whose last has a name with a comma; three images of 9 x 8 pixels."""
    Path("names.txt").write_text("cat\ndog\nowl, barn\n")
    Path("train.txt").write_text("a.png 0\nb.png 1\nc.png 1\na.png 2\n")
    Path("test.txt").write_text("a.png 0\nb.png 2\n")
    rng = np.random.default_rng(0)
    with zipfile.ZipFile("images.zip", "w") as archive:
        for name in "abc":
            pixels = rng.integers(0, 256, (8, 9, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(f"{name}.png")
            archive.write(f"{name}.png")


def test_checking_says_what_is_there_and_counts_training_images(run: Run, toy: None) -> None:
    said = run(*CHECK).output
    assert said.startswith("toy\n")
    assert "  3 class names (names.txt)\n" in said
    assert "train: 4 images, 2 to 1 per class" in said
    assert "  ok: every image is there\n" in said
    counts = read_counts_csv(Path("out/counts.csv"), ["cat", "dog", "owl, barn"])
    assert counts.tolist() == [1, 2, 1]


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ("a.png 0\nb.png 1\n", "train.txt: 1 of 3 classes without a training image: 2 (owl, barn)"),
        ("a.png 0\nb.png 1\nc.png 3\n", "train.txt line 3: c.png: label 3 is outside 0..2"),
        ("a.png 0\nx.png 1\nc.png 2\n", "train.txt line 2: x.png: not in images.zip"),
        (None, "train.txt: no such train list"),
    ],
)
def test_everything_wrong_is_said_and_nothing_written(
    run: Run, toy: None, train: str | None, message: str
) -> None:
    Path("train.txt").unlink() if train is None else Path("train.txt").write_text(train)
    Path("test.txt").write_text("a.png 0\ny.png 1\n")
    said = run(*CHECK, fails=True).output
    assert f"  WRONG  {message}" in said
    assert "  WRONG  test.txt line 2: y.png: not in images.zip" in said
    assert "2 problems" in said
    assert not Path("out").exists()


def test_official_lists_and_group_counts_are_checked_if_asked(run: Run, toy: None) -> None:
    Path("groups.csv").write_text("count\n500\n50\n5\n")
    assert "D-Many / Medium / Few by groups.csv: 1 / 1 / 1 classes" in (
        run(*CHECK, "--group-counts", "groups.csv").output
    )
    Path("groups.csv").write_text("count\n500\n")
    assert "groups.csv: 1 classes; the dataset has 3" in (
        run(*CHECK, "--group-counts", "groups.csv", fails=True).output
    )
    assert "not the official Places_LT_train.txt" in (
        run(*CHECK, "--official", "places365_lt", fails=True).output
    )


@pytest.mark.parametrize("splits", [["test"], ["train", "train"]])
def test_splits_are_given_once_and_train_is_among_them(
    run: Run, toy: None, splits: list[str]
) -> None:
    words = [word for s in splits for word in ("--split", s, f"{s}.txt", "images.zip")]
    said = run("check-dataset", "toy", "--class-names", "names.txt", *words, fails=True).output
    assert "--split: train is required, and each split may be given once" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--whole", "format=png"], "format: Input should be 'auto', 'raw' or 'jpeg'"),
        (["--whole", "raw"], "'raw' is not key=value"),
        (["--side", "0"], "0 is not in the range x>=1"),
        (["--class-names", "counts.csv"], "counts.csv: cannot be read: No such file"),
        (["--class-names", "bad.csv"], "bad.csv: no column of names"),
        (["--class-names", "two.txt"], "test.txt line 2: b.png: label 2 is outside 0..1"),
        (["--images", "none"], "none: no such folder of images"),
        (["--images", "empty"], "test.txt line 1: a.png: not in empty"),
    ],
)
def test_packing_names_what_is_wrong(run: Run, toy: None, words: list[str], message: str) -> None:
    Path("bad.csv").write_text("count\n1\n1\n1\n")
    Path("two.txt").write_text("cat\ndog\n")
    Path("empty").mkdir()
    said = run(*PACK, "--list", "test.txt", *words, "--out", "x/p.safetensors", fails=True).output
    assert message in said
    assert not Path("x/p.safetensors").exists()


def test_lists_from_a_folder_a_class(run: Run) -> None:
    for name, n in (("ape", 8), ("red_fox", 6)):
        Path("photos", name).mkdir(parents=True)
        for i in range(n):
            Path("photos", name, f"{i}.jpg").touch()
    folder = "folder=photos,largest=4,test_per_class=2,order=size,long_tail={imbalance_factor: 2}"
    run("make-lists", "--folder", folder, "--out", "lists")
    assert read_image_list(Path("lists/train.txt"), 2).counts(2).tolist() == [4, 2]
    assert read_image_list(Path("lists/test.txt"), 2).counts(2).tolist() == [2, 2]
    assert Path("lists/classnames.txt").read_text() == "ape\nred fox\n"
    for words, message in (
        ([], "give exactly one of table, annotations, folder, cifar100"),
        (["--folder", "folder=photos"], "--folder: largest: Field required"),
        (["--cifar100", "folder=none"], "none: cifar-100-python is missing or damaged"),
        (["--folder", folder.replace("photos", "none")], "none: no such folder"),
    ):
        assert message in run("make-lists", *words, "--out", "lists", fails=True).output


def test_a_corpus_is_drawn_from_a_list(run: Run, toy: None) -> None:
    names = ["draw-corpus", "--from", "train.txt", "--class-names", "names.txt"]
    outs = ["--out-list", "c/list.txt", "--out-class-names", "c/names.txt"]
    run(*names, "--size", "28", "--long-tail", "imbalance_factor=4", "--seed", "3", *outs)
    drawn = read_image_list(Path("c/list.txt"), 3)
    assert sorted(drawn.counts(3)) == [4, 8, 16]
    assert set(drawn.paths) <= {"a.png", "b.png", "c.png"}
    assert Path("c/names.txt").read_text() == "cat\ndog\nowl, barn\n"
    assert "Missing option '--size'" in run(*names, *outs, fails=True).output
    Path("train.txt").write_text("a.png 0\n")
    said = run(*names, "--size", "9", *outs, fails=True).output
    assert "images are wanted, 0 are there" in said


@pytest.mark.parametrize(
    ("order", "counts"), [("consistency", [2, 1, 4]), ("reverse", [2, 4, 1]), ("balance", None)]
)
def test_reordered_training_sets(run: Run, order: str, counts: list[int] | None) -> None:
    write_prior_csv(Path("q.csv"), ["a", "b", "c"], np.array([0.3, 0.2, 0.5]))
    lines = [f"{c}/{i}.png {c}\n" for c in range(3) for i in range(9)]
    Path("pool.txt").write_text("".join(lines))
    Path("train.txt").write_text("".join(lines[:4] + lines[9:11] + lines[18:19]))
    words = ["reorder", "--pool", "pool.txt", "--train", "train.txt", "--prior", "q.csv"]
    drawn = {}
    for sample, seed, out in (
        (1, 0, "one"),
        (1, 0, "again"),
        (2, 0, "two"),
        (3, 0, "x"),
        (1, 5, "y"),
    ):
        run(*words, "--order", order, f"--sample={sample}", f"--seed={seed}", "--out", out)
        drawn[out] = Path(out).read_text()
        found = read_image_list(Path(out), 3).counts(3).tolist()
        assert found == counts if counts else sorted(found) == [2, 2, 3]
    assert drawn.pop("again") == drawn["one"]
    assert len(set(drawn.values())) == 4, "samples are drawn alike, or seeds"
    said = run(*words, "--order", "revers", "--out", "x.txt", fails=True).output
    assert "'revers' is not one of 'consistency', 'reverse', 'balance'" in said

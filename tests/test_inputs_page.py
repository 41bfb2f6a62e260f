"""docs/inputs.md: every example is read as the page says."""

import re
from pathlib import Path

import numpy as np
import pytest

from dualtail.arrays import read_labels, read_logits
from dualtail.datasets.class_names import read_class_names
from dualtail.datasets.image_list import read_image_list
from dualtail.datasets.make_lists import lists_from_annotations
from dualtail.datasets.settings import AnnotationLists
from dualtail.datasets.train_counts import read_counts_csv

NAMES = ["ant", "bee", "cat"]
PAGE = (Path(__file__).parents[1] / "docs/inputs.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.M | re.S)


def examples(kind: str) -> list[str]:
    found = [text for name, text in EXAMPLES if name == kind]
    assert found
    return found


@pytest.mark.parametrize("text", examples("counts"))
def test_counts(tmp_path: Path, text: str) -> None:
    (tmp_path / "counts.csv").write_text(text)
    assert read_counts_csv(tmp_path / "counts.csv", NAMES).tolist() == [5, 300, 12]


@pytest.mark.parametrize("text", examples("names"))
def test_names(tmp_path: Path, text: str) -> None:
    (tmp_path / "names.txt").write_text(text)
    assert read_class_names(tmp_path / "names.txt") == NAMES


@pytest.mark.parametrize("text", examples("list"))
def test_lists(tmp_path: Path, text: str) -> None:
    (tmp_path / "list.txt").write_text(text)
    found = read_image_list(tmp_path / "list.txt", 3)
    assert found.paths == ["ant/1.jpg", "bee/a picture.jpg", "cat/3.jpg"]
    assert found.labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize("text", examples("annotations"))
def test_annotations(tmp_path: Path, text: str) -> None:
    (tmp_path / "train.json").write_text(text)
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    found = lists_from_annotations(
        AnnotationLists(
            splits={"train": tmp_path / "train.json"},
            class_names=None if "categories" in text else tmp_path / "names.txt",
            strip="/data/",
        )
    )
    expected = [("ant/1.jpg", 0), ("bee/a picture.jpg", 1), ("cat/3.jpg", 2)]
    assert (found.splits["train"], found.class_names) == (expected, NAMES)


def test_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.chdir(tmp_path)
    labels = np.arange(6) % 3
    logits = np.random.default_rng(0).normal(0, 9, (6, 3)).astype(np.float32)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    values = {"logits": logits, "labels": labels, "names": NAMES, "cosines": logits / 100}
    (program,) = examples("python")
    exec(program, {"np": np, "torch": torch, "probabilities": probabilities} | values)
    for name in ("logits.npy", "both.npz", "logits.csv", "both.pt"):
        np.testing.assert_allclose(read_logits(Path(name)), logits, rtol=1e-6)
    for name in ("both.npz", "both.pt", "labels.txt", "names.npy"):
        np.testing.assert_array_equal(read_labels(Path(name), NAMES), labels)
    np.testing.assert_allclose(read_logits(Path("cosines.npy"), 100), logits, rtol=1e-6)
    found = read_logits(Path("probabilities.npy"), "probabilities")
    np.testing.assert_allclose(np.exp(found), probabilities, rtol=1e-4, atol=1e-30)

"""The study's folder: what is in it, and that it goes together."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dualtail.confounder.files import read_sample_images, read_samples
from dualtail.confounder.pool import write_pool
from dualtail.confounder.sets import FactorClass
from dualtail.datasets.image_list import read_image_list
from dualtail.datasets.images import ImageStore, decode_square
from dualtail.errors import UserError

FILES = (
    *("images.zip", "classnames.txt", "samples.csv", "samples.zip"),
    *("A_train.txt", "A_test.txt", "B_train.txt", "B_test.txt"),
)
PER_CLASS = {"train": 10, "test": 20}


class Numbered:
    """Images whose pixels say what they are."""

    def __init__(self, side: int = 4) -> None:
        self.side = side
        self.classes = [
            FactorClass("cat, tabby", ("head", "body")),
            FactorClass("truck", ("head", "tail")),
        ]

    def images(self, split: str, label: int, factor: int, n: int) -> Iterator[np.ndarray]:
        for start in range(0, n, 7):
            numbers = np.arange(start, min(start + 7, n))
            batch = np.zeros((len(numbers), self.side, self.side, 3), np.uint8)
            batch[..., 0] = 100 * (split == "test") + 10 * label + factor
            batch[..., 1] = numbers[:, None, None]
            yield batch


def test_lists_and_images_agree(tmp_path: Path) -> None:
    write_pool(tmp_path, Numbered(), None, PER_CLASS, samples=3)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(FILES)
    with ImageStore(tmp_path / "images.zip") as store:
        for name, first_share in (("A", 0.5), ("B", 0.9)):
            for split, n in PER_CLASS.items():
                images = read_image_list(tmp_path / f"{name}_{split}.txt", 2)
                assert list(images.counts(2)) == [n, n]
                firsts = 0
                for row in range(len(images)):
                    pixel = decode_square(images, store, row, 4)[0, 0]
                    is_test, rest = divmod(int(pixel[0]), 100)
                    label, factor = divmod(rest, 10)
                    assert (is_test, label) == (split == "test", images.labels[row])
                    firsts += factor == 0
                assert firsts == round(2 * n * first_share)


@pytest.mark.parametrize("shown", [None, Numbered(side=9)])
def test_samples_are_the_first_training_images(tmp_path: Path, shown: Numbered | None) -> None:
    write_pool(tmp_path, Numbered(), shown, PER_CLASS, samples=3)
    samples = read_samples(tmp_path / "samples.csv")
    images = read_sample_images(tmp_path / "samples.csv", samples)
    assert [(s.label, s.factor, s.part) for s in samples[::3]] == [
        (0, 0, "head"),
        (0, 1, "body"),
        (1, 0, "head"),
        (1, 1, "tail"),
    ]
    assert samples[0].class_name == "cat, tabby"
    side = 4 if shown is None else 9
    for position, (sample, image) in enumerate(zip(samples, images, strict=True)):
        assert image.shape == (side, side, 3)
        assert list(image[0, 0]) == [10 * sample.label + sample.factor, position % 3, 0]


def test_damaged_samples_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "samples.csv"
    with pytest.raises(UserError, match=r"samples\.csv: not a list of samples"):
        read_samples(path)
    for text in ("path,label\na,0\n", "path,label,class_name,factor,part\na,x,c,0,p\n"):
        path.write_text(text)
        with pytest.raises(UserError, match="not a list of samples"):
            read_samples(path)
    path.write_text("path,label,class_name,factor,part\n")
    with pytest.raises(UserError, match="no samples"):
        read_samples(path)
    write_pool(tmp_path, Numbered(), None, PER_CLASS, samples=1)
    samples = read_samples(path)
    with pytest.raises(UserError, match=r"samples\.zip: not the images of samples\.csv"):
        read_sample_images(path, [samples[0]._replace(path="train/9/9/9.png")])
    (tmp_path / "samples.zip").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"samples\.zip"):
        read_sample_images(path, samples)

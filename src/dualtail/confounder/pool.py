"""The study's files: one archive of images, the lists of A and B, and the samples that are shown.

A folder holds `images.zip` (the pool), `A_train.txt`, `A_test.txt`, `B_train.txt`, `B_test.txt` (one
`path label` per line), `classnames.txt`, `samples.csv` and `samples.zip` (the first training images of
every class and part, at the size for people).
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dualtail.confounder.sets import (
    SETS,
    FactorClass,
    PoolImage,
    images_of,
    pool_counts,
)
from dualtail.datasets.image_list import write_image_list
from dualtail.datasets.world.archive import write_image_zip
from dualtail.files import write_text

SAMPLE_COLUMNS = ("path", "label", "class_name", "factor", "part")


class PartImages(Protocol):
    """Something that makes images of one part of a class."""

    @property
    def classes(self) -> list[FactorClass]:
        """The classes, in label order."""
        ...

    def images(self, split: str, label: int, factor: int, n: int) -> Iterator[NDArray[np.uint8]]:
        """Yield the first n images of a class and factor, in batches (B, S, S, 3)."""
        ...


def list_name(name: str, split: str) -> str:
    """Return the file of the images of a set: `A_train.txt`."""
    return f"{name}_{split}.txt"


def write_pool(
    folder: Path,
    source: PartImages,
    shown: PartImages | None,
    per_class: dict[str, int],
    samples: int,
) -> None:
    """Make all images and write the study's folder.

    Args:
        shown: Makes the samples, which are its first training images; None: the pool's own.
        per_class: split -> images per class, in each set.

    Raises:
        UserError: the folder cannot be written, or the source fails.
    """
    classes = source.classes
    kept: dict[PoolImage, NDArray[np.uint8]] = {}
    cells = [
        (split, label, factor, count)
        for split, n in per_class.items()
        for label in range(len(classes))
        for factor, count in enumerate(pool_counts(n))
    ]
    total = sum(count for *_, count in cells)
    with tqdm(total=total, desc="images of parts", unit="img", disable=None) as progress:

        def pool() -> Iterator[tuple[list[str], NDArray[np.uint8]]]:
            for split, label, factor, count in cells:
                start = 0
                for batch in source.images(split, label, factor, count):
                    entries = [
                        PoolImage(split, label, factor, start + k) for k in range(len(batch))
                    ]
                    if split == "train" and shown is None:
                        pairs = zip(entries, batch, strict=True)
                        kept.update(
                            (entry, image) for entry, image in pairs if entry.number < samples
                        )
                    start += len(batch)
                    progress.update(len(batch))
                    yield [entry.path for entry in entries], batch

        write_image_zip(folder / "images.zip", pool())
    if shown is not None:
        kept = _first_images(shown, samples)
    write_image_zip(
        folder / "samples.zip", (([entry.path], image[None]) for entry, image in kept.items())
    )
    write_text(folder / "samples.csv", _sample_text(classes, list(kept)))
    for name in SETS:
        for split, n in per_class.items():
            entries = images_of(name, split, len(classes), n)
            labels = np.array([entry.label for entry in entries])
            write_image_list(folder / list_name(name, split), [e.path for e in entries], labels)
    write_text(folder / "classnames.txt", "".join(f"{entry.name}\n" for entry in classes))


def _first_images(source: PartImages, n: int) -> dict[PoolImage, NDArray[np.uint8]]:
    found = {}
    for label in range(len(source.classes)):
        for factor in range(2):
            images = np.concatenate(list(source.images("train", label, factor, n)))
            for number, image in enumerate(images):
                found[PoolImage("train", label, factor, number)] = image
    return found


def _sample_text(classes: list[FactorClass], entries: list[PoolImage]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(SAMPLE_COLUMNS)
    for entry in entries:
        found = classes[entry.label]
        part = found.parts[entry.factor]
        writer.writerow([entry.path, entry.label, found.name, entry.factor, part])
    return stream.getvalue()

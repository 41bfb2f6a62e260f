"""Image lists and class names of a dataset, from a table, a folder of folders, or CIFAR-100."""

import io
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dualtail.datasets.how_to_get import get_cifar100
from dualtail.datasets.image_folder import images_by_class
from dualtail.datasets.image_list import ImageList
from dualtail.datasets.long_tail import (
    cifar_counts,
    cifar_rows,
    class_ranks,
    draw_rows,
    split_folder,
    tail_counts,
)
from dualtail.datasets.settings import CifarLists, FolderLists, LongTailSample, TableLists
from dualtail.datasets.text_file import read_table
from dualtail.errors import UserError

GROUP_FACTOR = 100.0
"""Imbalance factor of the CIFAR-100-LT whose counts make the D-groups of all."""


@dataclass(frozen=True)
class Lists:
    """What is written for a dataset: per split (path, label) pairs, and class names in label order."""

    splits: dict[str, list[tuple[str, int]]]
    class_names: list[str]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    """path -> (H, W, 3) uint8 pixels, where there are no image files yet"""
    group_counts: NDArray[np.int64] | None = None
    """(C,) counts that make D-groups, if they are not the training counts"""


def lists_from_table(settings: TableLists) -> Lists:
    """Select rows of a table of images.

    Raises:
        UserError: unreadable, a column that is missing, a label that is no number or has no name, a
            split without a row.
    """
    rows = read_table(settings.table, [settings.path_column, settings.label_column])
    names = _names(settings)
    splits: dict[str, list[tuple[str, int]]] = {}
    for split, where in settings.splits.items():
        for column in where:
            if column not in rows[0]:
                raise UserError(
                    f"{settings.table}: no column {column!r} (splits.{split}); "
                    f"it has {', '.join(rows[0])}"
                )
        chosen = [row for row in rows if all(row[c] == value for c, value in where.items())]
        if not chosen:
            raise UserError(f"{settings.table}: no row with {where} (splits.{split})")
        splits[split] = [
            (row[settings.path_column], _label(row, settings, len(names))) for row in chosen
        ]
    return Lists(splits, names)


def _label(row: dict[str, str], settings: TableLists, n_classes: int) -> int:
    text = row[settings.label_column]
    if not text.isdecimal() or int(text) >= n_classes:
        raise UserError(
            f"{settings.table}: {row[settings.path_column]}: label {text!r} is not in "
            f"0..{n_classes - 1} ({n_classes} classes in {settings.names_table})"
        )
    return int(text)


def _names(settings: TableLists) -> list[str]:
    path, column = settings.names_table, settings.name_column
    rows = read_table(path, [settings.label_column, column])
    by_label = {row[settings.label_column]: row[column] for row in rows}
    labels = [str(label) for label in range(len(rows))]
    if set(by_label) != set(labels):
        raise UserError(f"{path}: the labels of {len(rows)} classes must be 0..{len(rows) - 1}")
    return [by_label[label] for label in labels]


def lists_from_folder(settings: FolderLists) -> Lists:
    """Deal the images of a folder of folders to three splits with a long-tailed training split.

    Folders are classes in the order of their names, `_` in a name stands for a space. Images are
    never opened.

    Raises:
        UserError: no such folder, fewer than two classes, or a class with too few images.
    """
    root = settings.folder
    by_class = images_by_class(root)
    folders, files, n = list(by_class), list(by_class.values()), len(by_class)
    if settings.order == "size":
        ranks = np.argsort(np.argsort([-len(own) for own in files], kind="stable"), kind="stable")
    else:
        ranks = class_ranks(n, 0.0, settings.seed, settings.seed)
    train = tail_counts(settings.long_tail, settings.largest, n)[ranks]
    try:
        splits = split_folder(
            files, train, settings.val_per_class, settings.test_per_class, settings.seed
        )
    except UserError as error:
        raise UserError(f"{root}: {error}; classes are {_numbered(folders)}") from error
    return Lists(
        {split: rows for split, rows in splits.items() if rows},
        [name.replace("_", " ") for name in folders],
    )


def _numbered(folders: list[str]) -> str:
    shown = ", ".join(f"{i} {folder}" for i, folder in enumerate(folders[:3]))
    return shown + (", ..." if len(folders) > 3 else "")


def lists_from_cifar100(settings: CifarLists) -> Lists:
    """CIFAR-100-LT from torchvision's files; nothing is downloaded.

    Images get names `<split>/<class>/<row>.png` after their row in torchvision's order. D-groups are
    those of ratio 100 at every ratio, as in LIFT: at ratio 10 no class has fewer than 20 images.

    Raises:
        UserError: the files are not there, or differ from the official ones.
    """
    from torchvision.datasets import CIFAR100

    try:
        parts = {
            split: CIFAR100(str(settings.folder), train=split == "train", download=False)
            for split in ("train", "test")
        }
    except RuntimeError as error:
        raise UserError(
            f"{settings.folder}: cifar-100-python is missing or damaged; "
            f"{get_cifar100(settings.folder)}"
        ) from error
    names = [name.replace("_", " ") for name in parts["train"].classes]
    splits: dict[str, list[tuple[str, int]]] = {}
    arrays: dict[str, np.ndarray] = {}
    for split, part in parts.items():
        labels = np.array(part.targets, dtype=np.int64)
        rows = np.arange(len(labels))
        if split == "train":
            rows = cifar_rows(labels, cifar_counts(settings.imbalance_factor), settings.seed)
        splits[split] = []
        for row in rows.tolist():
            name = f"{split}/{part.classes[labels[row]]}/{row:05d}.png"
            splits[split].append((name, int(labels[row])))
            arrays[name] = part.data[row]
    return Lists(splits, names, arrays, cifar_counts(GROUP_FACTOR))


def write_archive(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write pixels as PNG files of a zip archive; equal pixels give equal bytes."""
    from PIL import Image

    from dualtail.files import atomic_path

    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, pixels in arrays.items():
            stream = io.BytesIO()
            Image.fromarray(pixels).save(stream, "PNG")
            archive.writestr(zipfile.ZipInfo(name), stream.getvalue())


def corpus_rows(settings: LongTailSample, images: ImageList, n_classes: int) -> NDArray[np.int64]:
    """The rows of `images` that make the corpus, class by class, with repetitions.

    Raises:
        UserError: a class without an image, or a corpus smaller than the number of classes.
    """
    from dualtail.datasets.long_tail import apportion, tail_shares

    ranks = class_ranks(n_classes, settings.correlation, settings.order_seed, settings.seed)
    counts = apportion(tail_shares(settings.long_tail, n_classes), settings.size)[ranks]
    try:
        return draw_rows(images.labels, counts, settings.seed, repeat=True)
    except UserError as error:
        raise UserError(f"{images.source}: {error}") from error

"""Image lists and class names of a dataset, from a table, annotations, a folder of folders, or CIFAR-100."""

import io
import logging
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dualtail.datasets.annotations import Annotations, read_annotations
from dualtail.datasets.how_to_get import get_cifar100
from dualtail.datasets.image_folder import images_by_class
from dualtail.datasets.image_list import ImageList
from dualtail.datasets.long_tail import (
    apportion,
    cifar_counts,
    cifar_rows,
    class_ranks,
    draw_rows,
    ranks,
    split_folder,
    tail_counts,
    tail_shares,
)
from dualtail.datasets.name_file import read_name_file
from dualtail.datasets.readable_names import check_readable
from dualtail.datasets.settings import (
    AnnotationLists,
    CifarLists,
    FolderLists,
    LongTailSample,
    TableLists,
)
from dualtail.datasets.text_file import read_table
from dualtail.errors import UserError
from dualtail.files import atomic_path

_log = logging.getLogger(__name__)


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
    found = [by_label[label] for label in labels]
    check_readable(path, found)
    return found


def lists_from_annotations(settings: AnnotationLists) -> Lists:
    """Read annotations in JSON; labels are the ranks of the category ids.

    Raises:
        UserError: see `read_annotations`; files with different categories, no class names, another
            number of them, or an id without a name.
    """
    files = {split: read_annotations(p, settings.strip) for split, p in settings.splits.items()}
    names, first = _annotated_names(list(files.values())), next(iter(files.values())).path
    if settings.class_names is not None:
        found = read_name_file(settings.class_names).names
        if names is not None and len(names) != len(found):
            raise UserError(
                f"{settings.class_names}: {len(found):,} class names for the {len(names):,} categories "
                f"of {first}"
            )
        ids, class_names = sorted(names or range(len(found))), found
    elif names is not None:
        ids, class_names = sorted(names), [names[i] for i in sorted(names)]
        check_readable(first, class_names)
    else:
        raise UserError(f"{first}: no class names in it; give class_names=FILE")
    if ids != list(range(len(ids))):
        said = "category ids %d to %d became labels 0 to %d, in their order"
        _log.warning(said, ids[0], ids[-1], len(ids) - 1)
    label_of = {category: label for label, category in enumerate(ids)}
    for file in files.values():
        _check_categories(file, label_of)
    splits = {
        split: [(path, label_of[category]) for path, category in file.categories.items()]
        for split, file in files.items()
    }
    return Lists(splits, class_names)


def _annotated_names(files: list[Annotations]) -> dict[int, str] | None:
    """Category id -> name, the same in all files that have names; None: none has."""
    named = [file for file in files if file.names is not None]
    for file in named[1:]:
        if file.names != named[0].names:
            raise UserError(f"{named[0].path} and {file.path}: different categories")
    return named[0].names if named else None


def _check_categories(file: Annotations, label_of: dict[int, int]) -> None:
    """Ids of a file without names are labels: they must have a name, and it must be the right one."""
    n, used = len(label_of), set(file.categories.values())
    if file.n_classes is not None and file.names is None and file.n_classes != n:
        raise UserError(f"{file.path}: num_classes {file.n_classes}, but there are {n} class names")
    outside = sorted(used - label_of.keys())
    if outside:
        counts_from_1 = (min(used), max(used)) == (1, n)
        hint = "; they seem to count from 1: give categories with ids" if counts_from_1 else ""
        raise UserError(
            f"{file.path}: category_id {outside[0]} has no class name ({n} class names{hint})"
        )


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
        order = ranks([-len(own) for own in files])
    else:
        order = class_ranks(n, 0.0, settings.seed, settings.seed)
    train = tail_counts(settings.long_tail, settings.largest, n)[order]
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
    return Lists(splits, names, arrays, cifar_counts(100.0))


def write_archive(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write pixels as PNG files of a zip archive; equal pixels give equal bytes."""
    from PIL import Image

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
    by_rank = apportion(tail_shares(settings.long_tail, n_classes), settings.size)
    order = class_ranks(n_classes, settings.correlation, settings.order_seed, settings.seed)
    counts = by_rank[order]
    try:
        return draw_rows(images.labels, counts, settings.seed, repeat=True)
    except UserError as error:
        raise UserError(f"{images.source}: {error}") from error

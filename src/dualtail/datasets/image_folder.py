"""One folder per class: the layout of torchvision's ImageFolder."""

import logging
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dualtail.datasets.class_table import comparable
from dualtail.datasets.image_list import ImageList
from dualtail.datasets.name_file import NameFile, read_name_file
from dualtail.datasets.readable_names import check_readable
from dualtail.errors import UserError

SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("avif", "bmp", "gif", "jfif", "jp2", "jpe", "jpeg", "jpg", "pbm"),
        *("pgm", "png", "pnm", "ppm", "tif", "tiff", "webp"),
    )
)
"""Files that count as images, in lower case; others are left out."""
NO_CLASSES = frozenset(("__MACOSX", "@eaDir"))
"""Folders that systems leave beside images; hidden ones are left out as well."""
SPLITS = frozenset(("train", "training", "val", "valid", "validation", "test", "testing"))

_log = logging.getLogger(__name__)


class FolderImages(ImageList):
    """An image list that was read from a folder rather than from a file."""

    def where(self, row: int) -> str:
        return str(self.source / self.paths[row])


def images_by_class(folder: Path) -> dict[str, list[str]]:
    """The class folders in a folder and the images in each, sorted, relative to `folder`.

    Class folders that are numbers are sorted as numbers; they may hold folders, and links are followed.
    What is left out (hidden, no image, no regular file) is counted aloud.

    Raises:
        UserError: no such folder, fewer than two classes, or splits in place of classes.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of images")
    classes = [p.name for p in folder.iterdir() if p.is_dir() and not _is_hidden(p.name)]
    if len(classes) < 2:
        raise UserError(
            f"{folder}: {len(classes)} folder(s) in it; one folder per class is needed, two or more "
            "(or name the images in a list)"
        )
    if SPLITS.issuperset(name.casefold() for name in classes):
        raise UserError(
            f"{folder}: its folders {', '.join(sorted(classes))} are splits, not classes; "
            f"give {folder / max(classes, key=lambda name: name.casefold().startswith('v'))}"
        )
    check_readable(folder, _sorted(classes))
    left_out: Counter[str] = Counter()
    found = {name: sorted(_images(folder, folder / name, left_out)) for name in _sorted(classes)}
    if left_out:
        reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(left_out.items()))
        _log.warning("%s: %d files left out: %s", folder, left_out.total(), reasons)
    return found


def read_image_folder(folder: Path, class_names: Path | None = None) -> tuple[list[str], ImageList]:
    """List the images of folders per class; one without an image stays a class, its label is absent.

    Args:
        folder: Holds one folder per class, see `images_by_class`.
        class_names: A file of names, see `read_name_file`. The name of a folder decides which class it
            is, or its number; else the order. None: the folders' own names.

    Returns:
        The C class names and the images, paths relative to `folder`.

    Raises:
        UserError: no such folder, fewer than two classes, no image at all, or folders and names that do
            not fit.
    """
    found = images_by_class(folder)
    names, label_of = list(found), {name: label for label, name in enumerate(found)}
    if class_names is not None:
        file = read_name_file(class_names)
        names, label_of = file.names, _labels(folder, list(found), file)
    paths = [path for own in found.values() for path in own]
    if not paths:
        raise UserError(f"{folder}: no image in its {len(found)} folders")
    labels = np.repeat([label_of[name] for name in found], [len(own) for own in found.values()])
    present = set(labels.tolist())
    empty = [name for label, name in enumerate(names) if label not in present]
    if empty:
        more = f" and {len(empty) - 1} more" if len(empty) > 1 else ""
        _log.warning("%s: no image of class %r%s", folder, empty[0], more)
    order = np.argsort(labels, kind="stable")
    return names, FolderImages(folder, [paths[row] for row in order], labels[order])


def _labels(folder: Path, folders: list[str], file: NameFile) -> dict[str, int]:
    """The label of every folder: by name, by number, or, if neither says it, by order."""
    known = {comparable(key): label for label, key in enumerate(file.folders or file.names)}
    by_name = {name: known.get(comparable(name)) for name in folders}
    matched = {name: label for name, label in by_name.items() if label is not None}
    if len(matched) == len(folders):
        return _of_one_folder_each(folder, matched)
    if matched:
        lost = next(name for name in folders if name not in matched)
        raise UserError(f"{file.path}: no class for the folder {folder / lost}")
    if all(name.isdecimal() and int(name) < len(file.names) for name in folders):
        return _of_one_folder_each(folder, {name: int(name) for name in folders})
    if len(folders) != len(file.names):
        raise UserError(
            f"{file.path}: {len(file.names)} class names for the {len(folders)} folders of {folder}"
        )
    _log.warning(
        "%s: folders and names are matched by their order: %s is %r, ..., %s is %r",
        *(file.path, folders[0], file.names[0], folders[-1], file.names[-1]),
    )
    return {name: label for label, name in enumerate(folders)}


def _of_one_folder_each(folder: Path, label_of: dict[str, int]) -> dict[str, int]:
    by_label: dict[int, str] = {}
    for name, label in label_of.items():
        other = by_label.setdefault(label, name)
        if other != name:
            raise UserError(f"{folder}: its folders {other!r} and {name!r} are both class {label}")
    return label_of


def _images(root: Path, top: Path, left_out: Counter[str]) -> Iterator[str]:
    """The images below a folder, relative to `root`; links are followed, but in no circle."""
    above = root.stat()
    seen = {(above.st_dev, above.st_ino)}  # a link to it would bring the images of other classes
    for here, folders, files in os.walk(top, followlinks=True):
        status = Path(here).stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        for name in [name for name in folders if _is_hidden(name)]:
            folders.remove(name)
            inside = sum(len(below) for _, _, below in os.walk(Path(here, name)))
            left_out[f"in {name}"] += inside
        for name in files:
            file = Path(here, name)
            if name.startswith("."):
                left_out["hidden"] += 1
            elif file.suffix.lower() not in SUFFIXES:
                left_out["no image"] += 1
            elif not file.is_file():
                left_out["no regular file"] += 1
            else:
                yield file.relative_to(root).as_posix()


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in NO_CLASSES


def _sorted(names: list[str]) -> list[str]:
    numbers = all(name.isdecimal() for name in names)
    return sorted(names, key=lambda name: (int(name) if numbers else 0, name))

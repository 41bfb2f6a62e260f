"""A folder per class: the layout of torchvision's ImageFolder."""

from pathlib import Path

import numpy as np

from dualtail.datasets.class_names import read_class_names
from dualtail.datasets.image_list import ImageList
from dualtail.errors import UserError

SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
)
"""Files that count as images, in lower case; others are left out."""


class FolderImages(ImageList):
    """An image list that was read from a folder rather than from a file."""

    def where(self, row: int) -> str:
        return str(self.source / self.paths[row])


def images_by_class(folder: Path) -> dict[str, list[str]]:
    """The class folders in a folder, sorted, and the images in each, sorted, relative to `folder`.

    Hidden files and folders and files that are no images are left out; a class folder may hold folders.

    Raises:
        UserError: no such folder, or fewer than two classes.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of images")
    classes = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(classes) < 2:
        raise UserError(
            f"{folder}: {len(classes)} folder(s) in it; one folder per class is needed, two or more "
            "(or name the images in a list)"
        )
    return {
        name: sorted(
            file.relative_to(folder).as_posix()
            for file in (folder / name).rglob("*")
            if file.suffix.lower() in SUFFIXES
            and file.is_file()
            and not any(part.startswith(".") for part in file.relative_to(folder).parts)
        )
        for name in classes
    }


def read_image_folder(folder: Path, class_names: Path | None = None) -> tuple[list[str], ImageList]:
    """List the images of a folder per class; one without an image stays a class, its label is absent.

    Args:
        folder: Holds one folder per class, see `images_by_class`.
        class_names: One name a line, in the sorted order of the folders; else the folders' own names.

    Returns:
        The C class names and the images, paths relative to `folder`.

    Raises:
        UserError: no such folder, fewer than two classes, no image at all, or another number of names.
    """
    found = images_by_class(folder)
    names = list(found) if class_names is None else read_class_names(class_names)
    if len(names) != len(found):
        raise UserError(
            f"{class_names}: {len(names)} class names for the {len(found)} folders of {folder}"
        )
    paths = [path for own in found.values() for path in own]
    if not paths:
        raise UserError(f"{folder}: no image in its {len(found)} folders")
    labels = np.repeat(np.arange(len(found)), [len(own) for own in found.values()])
    return names, FolderImages(folder, paths, labels)

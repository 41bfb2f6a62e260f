"""Class names of a dataset, from the files that are published with it.

Three formats:

- `lines`: one name per line, the line number, from 0, is the label; or a form that says the label
  (`name_file.py`).
- `folders`: `folder class name...` a line, as OLTR and LIFT have it. The label of a line is that of
  the images in its folder. The public file of Places365-LT is permuted against the labels at 116 to
  118, 141 and 142, so that names taken by line number are wrong for five classes.
- `categories`: the same, but no name may come twice: the `categories.json` of iNaturalist, a list of
  {id, name, ...}; the label in the lists is the id. (LIFT renumbers: its class c is the c-th name in
  sorted order; see `import-lift`.)

`as_published` takes the lines of `folders` by number, to reproduce what was computed that way.
"""

from collections import Counter
from pathlib import Path, PurePosixPath

from dualtail.datasets.image_list import ImageList
from dualtail.datasets.name_file import read_name_file
from dualtail.datasets.readable_names import check_readable
from dualtail.datasets.settings import NamesFormat, NamesVersion
from dualtail.datasets.text_file import read_lines
from dualtail.errors import UserError


def read_class_names(path: Path) -> list[str]:
    """The (C,) names of a file in label order, see `read_name_file`.

    Raises:
        UserError: unreadable, empty, a class without a name, or labels that are not 0 to C - 1.
    """
    return read_name_file(path).names


def dataset_class_names(
    path: Path, format: NamesFormat, version: NamesVersion, images: ImageList
) -> list[str]:
    """The (C,) class names of a dataset in label order.

    Args:
        path: The file of class names.
        format: How it is written, see the module.
        version: `folders` only: corrected, or as published.
        images: A list with every class; its folders tell the label of a line (`folders` only).

    Raises:
        UserError: a file of another format, a name or folder that comes twice, a label without a
            folder, a folder without a line or with images of two labels.
    """
    if format == "lines":
        return read_class_names(path)
    if format == "categories":
        return category_names(path)
    folders, names = _folder_lines(path)
    if version == "as_published":
        return names
    by_folder = dict(zip(folders, names, strict=True))
    wanted = label_folders(images, path)
    lacking = next((folder for folder in wanted if folder not in by_folder), None)
    if lacking is not None:
        raise UserError(
            f"{path}: no line for the folder {lacking!r} of {images.source}; "
            "lines are `folder class name`"
        )
    return [by_folder[folder] for folder in wanted]


def label_folders(images: ImageList, names: Path) -> list[str]:
    """The folder (last part of the path before the file name) of every label, in label order.

    Raises:
        UserError: a folder with images of two labels, two folders with one label, or a label without
            an image.
    """
    folder_of: dict[int, str] = {}
    label_of: dict[str, int] = {}
    for row, (image, label) in enumerate(zip(images.paths, images.labels.tolist(), strict=True)):
        folder = PurePosixPath(image).parent.name
        if folder_of.setdefault(label, folder) != folder:
            wrong = f"label {label} has images in the folders {folder_of[label]!r} and {folder!r}"
        elif label_of.setdefault(folder, label) != label:
            wrong = f"folder {folder!r} has images of the labels {label_of[folder]} and {label}"
        else:
            continue
        raise UserError(
            f"{images.where(row)}: {wrong}, so {names} cannot be matched by folder; set "
            "`names: as_published`"
        )
    gaps = [label for label in range(max(folder_of) + 1) if label not in folder_of]
    if gaps:
        raise UserError(f"{images.source}: no image of label {gaps[0]}, so {names} has no folder")
    return [folder_of[label] for label in range(len(folder_of))]


def category_names(path: Path) -> list[str]:
    """The (C,) names of a `categories.json` in the order of their ids.

    Raises:
        UserError: see `read_name_file`; a name that comes twice.
    """
    names = read_class_names(path)
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise UserError(f"{path}: category {repeated[0]!r} comes twice")
    return names


def _folder_lines(path: Path) -> tuple[list[str], list[str]]:
    lines = [line.strip() for line in read_lines(path)]
    if not lines:
        raise UserError(f"{path}: no class names")
    if "" in lines:
        raise UserError(f"{path} line {lines.index('') + 1}: blank class name")
    names: list[str] = []
    line_of: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        folder, _, name = line.partition(" ")
        if not name.strip():
            raise UserError(f"{path} line {number}: {line[:80]!r} is not `folder class name`")
        # Names may come twice (ImageNet has two classes "missile"), folders may not.
        if folder in line_of:
            raise UserError(
                f"{path} line {number}: folder {folder!r} is on line {line_of[folder]} already"
            )
        line_of[folder] = number
        names.append(name.strip())
    check_readable(path, names)
    return list(line_of), names

"""Annotations in JSON: COCO's form, which is iNaturalist's too, and that of BBN and LIFT.

COCO: `{"images": [{"id", "file_name"}], "annotations": [{"image_id", "category_id"}], "categories":
[{"id", "name"}]}`. BBN: `{"annotations": [{"fpath", "category_id"}], "num_classes"}`; the path may be called
`image_id`. Which it is, is told by its content; what else an object holds is dropped while it is parsed.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from dualtail.datasets.image_list import leads_outside
from dualtail.datasets.name_file import names_by_id
from dualtail.datasets.text_file import read_text_file
from dualtail.errors import UserError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Annotations:
    """One file.

    Attributes:
        path: The file.
        categories: Image path -> id of its category, in the order of the file.
        names: Id -> name; None: the file has no names, and its ids are labels.
        n_classes: What a file without names says, if it does.
    """

    path: Path
    categories: dict[str, int]
    names: dict[int, str] | None
    n_classes: int | None


class _Image(NamedTuple):
    id: Any
    file_name: Any


class _Label(NamedTuple):
    fpath: Any
    image_id: Any
    category_id: Any


def read_annotations(path: Path, strip: str = "") -> Annotations:
    """Read the category of every image; 437,513 images of iNaturalist 2018 take 0.3 GB of memory.

    Args:
        path: The file, plain or gzip'ed.
        strip: Beginning of its paths that is taken off: the folder of the images.

    Raises:
        UserError: unreadable, neither form, an image with two categories or a path outside the folder, an
            annotation of no image or no category.
    """
    try:
        content = json.loads(read_text_file(path), object_hook=_small)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON: {error}") from error
    labels = content.get("annotations") if isinstance(content, dict) else None
    if not isinstance(labels, list) or not labels:
        hint = "; a test set without labels?" if isinstance(content, dict) and content else ""
        raise UserError(f"{path}: no list of annotations in it{hint}")
    names = content.get("categories") or None
    if names is not None:
        names = names_by_id(path, names)
    n_classes = content.get("num_classes")
    if n_classes is not None and (type(n_classes) is not int or n_classes < 1):
        raise UserError(f"{path}: num_classes {n_classes!r} is not a number of classes")
    file_of = _files_by_id(path, content["images"]) if "images" in content else None
    categories: dict[str, int] = {}
    for row, label in enumerate(labels):
        where = f"{path}: annotation {row} (from 0)"
        if not isinstance(label, _Label):
            raise UserError(f"{where}: no category_id; annotations of classes have one")
        file, category = _inside(where, _file(where, label, file_of), strip), label.category_id
        if type(category) is not int or (names is not None and category not in names):
            raise UserError(f"{where}: category_id {category!r} is none of the file's categories")
        if categories.setdefault(file, category) != category:
            raise UserError(
                f"{where}: {file} is of category {category}, and of {categories[file]} above; "
                "an image has one class here"
            )
    _say_what_is_not_listed(path, labels, categories, file_of)
    return Annotations(path, categories, names, n_classes)


def _small(item: dict[str, Any]) -> Any:
    """What is used of an object."""
    if "category_id" in item:
        return _Label(item.get("fpath"), item.get("image_id"), item["category_id"])
    if "file_name" in item:
        return _Image(item.get("id"), item["file_name"])
    return item


def _files_by_id(path: Path, images: Any) -> dict[Any, str]:
    if not isinstance(images, list) or not all(isinstance(i, _Image) for i in images):
        raise UserError(f"{path}: its images must be a list of objects with id and file_name")
    found: dict[Any, str] = {}
    for row, image in enumerate(images):
        where = f"{path}: image {row} (from 0)"
        if type(image.id) not in (int, str) or not isinstance(image.file_name, str):
            raise UserError(f"{where}: id {image.id!r} or file_name {image.file_name!r} is none")
        if image.id in found:
            raise UserError(f"{where}: id {image.id!r} is that of {found[image.id]} already")
        found[image.id] = image.file_name
    return found


def _file(where: str, label: _Label, file_of: Mapping[Any, str] | None) -> str:
    """The path of an annotation's image: by its id, or in the annotation itself."""
    if file_of is None:
        file = label.image_id if label.fpath is None else label.fpath
        if not isinstance(file, str):
            raise UserError(
                f"{where}: no path: neither a text in fpath or image_id, nor images in the file"
            )
        return file
    if type(label.image_id) not in (int, str) or label.image_id not in file_of:
        raise UserError(f"{where}: image_id {label.image_id!r} is no id of the file's images")
    return file_of[label.image_id]


def _inside(where: str, file: str, strip: str) -> str:
    name = file.removeprefix(strip).lstrip("/") if strip and file.startswith(strip) else file
    name = name.removeprefix("./")
    if not name or leads_outside(name):
        raise UserError(
            f"{where}: {file!a} must be a path inside the folder of images; strip=FOLDER removes the "
            "beginning of paths"
        )
    return name


def _say_what_is_not_listed(
    path: Path, labels: list[_Label], categories: dict[str, int], file_of: Mapping[Any, str] | None
) -> None:
    if len(labels) > len(categories):
        more = len(labels) - len(categories)
        _log.warning("%s: %s annotations repeat an image that has one already", path, f"{more:,}")
    unlabeled = 0 if file_of is None else len(file_of) - len(categories)
    if unlabeled > 0:
        _log.warning("%s: %s images without annotation left out", path, f"{unlabeled:,}")

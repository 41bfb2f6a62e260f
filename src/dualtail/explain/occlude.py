"""Hiding parts of images, and the list that says which."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dualtail.datasets.text_file import read_text_file
from dualtail.errors import UserError
from dualtail.explain.splits import VISIBLE

SIDES = ("left", "top", "right", "bottom")


@dataclass(frozen=True)
class Region:
    """What is hidden: a box in pixels, right and bottom excluded, or a mask image."""

    box: tuple[int, int, int, int] | None
    mask: str
    where: str
    """line of the list, for messages"""


@dataclass(frozen=True)
class PartsList:
    """Images and the parts of them that are hidden.

    Attributes:
        labels: path of an image -> class.
        parts: path of an image -> condition -> regions.
        conditions: Conditions, in the order of the list.
    """

    labels: dict[str, int]
    parts: dict[str, dict[str, list[Region]]]
    conditions: list[str]


def read_parts(path: Path) -> PartsList:
    """Read a CSV file with a header and one line per region.

    Columns: `path` of the image, `label`, `condition` (what is hidden then, such as head_hidden), and
    `left`, `top`, `right`, `bottom` in pixels, or `mask`: an image, white where it is hidden. Several
    lines of one image and condition hide several regions.

    Raises:
        UserError: unreadable, a missing column, a bad number, two labels of one image, or an image
            without a region for one of the conditions (the line or image is named).
    """
    reader = csv.DictReader(io.StringIO(read_text_file(path)))
    header = reader.fieldnames or []
    regions = ["mask"] if "mask" in header and "left" not in header else [*SIDES]
    for name in ("path", "label", "condition", *regions):
        if name not in header:
            raise UserError(f"{path}: no column {name!r}; it has {', '.join(header) or 'none'}")
    found = PartsList({}, {}, [])
    for line, row in enumerate(reader, start=2):
        where = f"{path} line {line}"
        values = {name: (row.get(name) or "").strip() for name in header}
        image, label, condition = values["path"], values["label"], values["condition"]
        if not image or not condition.isidentifier() or condition == VISIBLE:
            raise UserError(
                f"{where}: needs a path and a condition of letters, digits and _, not {VISIBLE!r}"
            )
        if not label.isdecimal():
            raise UserError(f"{where}: label {label!r} is not a number from 0")
        if found.labels.setdefault(image, int(label)) != int(label):
            raise UserError(f"{where}: {image} has the label {found.labels[image]} above")
        if condition not in found.conditions:
            found.conditions.append(condition)
        region = _region(values, where)
        found.parts.setdefault(image, {}).setdefault(condition, []).append(region)
    if not found.labels:
        raise UserError(f"{path}: no regions; one line per region after the header is needed")
    for image, parts in found.parts.items():
        missing = [c for c in found.conditions if c not in parts]
        if missing:
            raise UserError(f"{path}: {image} has no region for the condition {missing[0]!r}")
    return found


def box_mask(region: Region, height: int, width: int) -> NDArray[np.bool_]:
    """Return where a box is, (H, W).

    Raises:
        UserError: it is empty or not inside the image.
    """
    assert region.box is not None
    left, top, right, bottom = region.box
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise UserError(
            f"{region.where}: the box {region.box} is empty or not inside {width} x {height} pixels"
        )
    mask = np.zeros((height, width), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def hide(image: NDArray[np.uint8], hidden: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the image with the hidden pixels in the mean color of the others.

    Args:
        image: (H, W, 3).
        hidden: (H, W); if nothing else is left, the mean is that of the whole image.
    """
    rest = image[~hidden] if not hidden.all() else image.reshape(-1, 3)
    changed = image.copy()
    changed[hidden] = np.rint(rest.mean(axis=0)).astype(np.uint8)
    return changed


def _region(values: dict[str, str], where: str) -> Region:
    if values.get("mask"):
        return Region(None, values["mask"], where)
    numbers = [values.get(side, "") for side in SIDES]
    wrong = [n for n in numbers if not n.isdecimal()]
    if wrong:
        raise UserError(f"{where}: {wrong[0]!r} is not a number of pixels, and there is no mask")
    left, top, right, bottom = (int(n) for n in numbers)
    return Region((left, top, right, bottom), "", where)

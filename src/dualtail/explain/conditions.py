"""The images that are explained: a table of the same images under several conditions, or a list.

A table is a CSV file with a header and a line per image: its `label`, and for every condition a column
`path_<condition>` with the path of the image under it (nothing hidden, head hidden ...).
"""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dualtail.datasets.image_list import ImageList, read_image_list
from dualtail.datasets.text_file import read_text_file
from dualtail.errors import UserError
from dualtail.explain.splits import VISIBLE
from dualtail.files import write_text


def read_conditions(
    table: Path, conditions: Sequence[str], n_classes: int | None = None
) -> dict[str, ImageList]:
    """Read a table of conditions.

    Args:
        table: The CSV file.
        conditions: Which columns, without `path_`.
        n_classes: C; None: labels are not checked against it.

    Returns:
        Condition -> its images; all lists have the same labels, line by line.

    Raises:
        UserError: unreadable or empty, a column that is missing, an empty path, a label that is not a
            class index (the line is named).
    """
    reader = csv.DictReader(io.StringIO(read_text_file(table)))
    columns = {condition: f"path_{condition}" for condition in conditions}
    header = reader.fieldnames or []
    for name in [*columns.values(), "label"]:
        if name not in header:
            raise UserError(f"{table}: no column {name!r}; it has {', '.join(header) or 'none'}")
    paths: dict[str, list[str]] = {condition: [] for condition in conditions}
    labels: list[int] = []
    for line, row in enumerate(reader, start=2):
        label = (row["label"] or "").strip()
        if not label.isdecimal():
            raise UserError(f"{table} line {line}: label {label!r} is not a number from 0")
        labels.append(int(label))
        for condition, column in columns.items():
            path = (row[column] or "").strip()
            if not path:
                raise UserError(f"{table} line {line}: {column} is empty")
            paths[condition].append(path)
    if not labels:
        raise UserError(f"{table}: no images; one line per image after the header is needed")
    found = {c: ImageList(table, paths[c], np.array(labels, dtype=np.int64)) for c in conditions}
    if n_classes is not None:
        for images in found.values():
            images.check_labels(n_classes)
    return found


def write_conditions(table: Path, images: dict[str, ImageList]) -> None:
    """Write a table that `read_conditions` reads."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*(f"path_{condition}" for condition in images), "label"])
    lists = list(images.values())
    for row, label in enumerate(lists[0].labels.tolist()):
        writer.writerow([*(entry.paths[row] for entry in lists), label])
    write_text(table, text.getvalue())


def read_list(path: Path, most: int, n_classes: int | None = None) -> dict[str, ImageList]:
    """Read images from a plain list, at most `most` of them, evenly over the classes."""
    images = read_image_list(path, n_classes)
    rows = spread_over_classes(images.labels, most)
    chosen = ImageList(path, [images.paths[row] for row in rows], images.labels[rows])
    return {VISIBLE: chosen}


def spread_over_classes(labels: np.ndarray, most: int) -> np.ndarray:
    """Return at most `most` rows (K,), ascending: the first of every class, then the second ...

    Args:
        labels: (N,) class indices.
        most: Largest K.
    """
    order = np.argsort(labels, kind="stable")
    _, starts, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    turn = np.empty(labels.size, dtype=np.int64)
    turn[order] = np.arange(labels.size) - np.repeat(starts, sizes)
    return np.sort(np.lexsort((np.arange(labels.size), turn))[:most])

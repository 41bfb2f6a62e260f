"""Training images per class, as CSV: what makes D-groups and the downstream prior pi_S."""

import csv
from pathlib import Path

import numpy as np

from dualtail.datasets.text_file import read_table
from dualtail.errors import UserError
from dualtail.files import atomic_path


def write_counts_csv(path: Path, class_names: list[str], counts: np.ndarray) -> None:
    """Write `class_index,class_name,count`: the training counts that make D-groups and pi_S."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["class_index", "class_name", "count"])
        writer.writerows(
            (index, name, int(count))
            for index, (name, count) in enumerate(zip(class_names, counts, strict=True))
        )


def read_counts_csv(path: Path, class_names: list[str] | None = None) -> np.ndarray:
    """Read a file of `write_counts_csv`, or any CSV with a column `count`, one line per class.

    Args:
        path: The file; `class_name` is optional, but checked if there.
        class_names: The classes it must describe, in label order.

    Returns:
        (C,) int64 training images per class.

    Raises:
        UserError: a missing column, a count that is not a whole number, or other classes.
    """
    rows = read_table(path, ["count"])
    for number, row in enumerate(rows):
        if not row["count"].strip().isdecimal():
            raise UserError(f"{path} line {number + 2}: count {row['count']!r} is not a number")
    if class_names is not None:
        if len(rows) != len(class_names):
            raise UserError(f"{path}: {len(rows)} classes, expected {len(class_names)}")
        for number, (row, name) in enumerate(zip(rows, class_names, strict=True)):
            if row.get("class_name", name) != name:
                raise UserError(
                    f"{path} line {number + 2}: class {row['class_name']!r}, expected {name!r}"
                )
    return np.array([int(row["count"]) for row in rows], dtype=np.int64)


def read_counted_names(path: Path) -> list[str]:
    """Read the class names of a file of `write_counts_csv`, in label order.

    Raises:
        UserError: unreadable, or without a column `class_name`.
    """
    return [row["class_name"] for row in read_table(path, ["class_name"])]

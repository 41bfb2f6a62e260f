"""Training images per class, as CSV: what makes D-groups and the downstream prior pi_S."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dualtail.datasets.class_table import read_class_table
from dualtail.errors import UserError
from dualtail.files import atomic_path


def write_counts_csv(path: Path, class_names: list[str], counts: np.ndarray) -> None:
    """Write `class_index,class_name,count`: the training counts that make D-groups and pi_S."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["class_index", "class_name", "count"])
        writer.writerows(zip(range(len(counts)), class_names, counts.tolist(), strict=True))


def read_counts_csv(path: Path, class_names: Sequence[str] | None = None) -> np.ndarray:
    """Read a file of `write_counts_csv`, or any table per class with a column `count`.

    Args:
        class_names: The classes it must describe, in label order.

    Returns:
        (C,) int64 training images per class.

    Raises:
        UserError: see `read_class_table`; a count that is not a whole number.
    """
    table = read_class_table(path, ["count"], class_names)
    counts = table.numbers("count")
    for line, count in zip(table.lines, counts.tolist(), strict=True):
        if not (0 <= count < 2**53 and count.is_integer()):
            raise UserError(f"{path}: line {line}: count {count:g} is not a whole number from 0")
    return counts.astype(np.int64)

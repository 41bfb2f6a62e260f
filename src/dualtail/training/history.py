"""Training curves as CSV: a row an epoch."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from dualtail.files import atomic_path


def write_history(path: Path, rows: Sequence[Mapping[str, float | int | str]]) -> None:
    """Write one row an epoch; all rows have the keys of the first. Not rounded: learning rates are small."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)

"""Training curves as CSV: what happened in every epoch, without measured times."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from dualtail.files import atomic_path
from dualtail.scores.schema import DECIMALS


def write_history(path: Path, rows: Sequence[Mapping[str, float | int | str]]) -> None:
    """Write one row an epoch; all rows have the keys of the first."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {k: round(v, DECIMALS) if isinstance(v, float) else v for k, v in row.items()}
            )

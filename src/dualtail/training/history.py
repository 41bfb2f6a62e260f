"""Training curves: what is known of an epoch, and CSV files of it."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dualtail.files import atomic_path

HISTORY_MARK = "epoch,"
"""In the header of every curve."""


@dataclass(frozen=True)
class EpochMetrics:
    """One epoch of SGD."""

    epoch: int
    """counted from 1"""

    lr: float
    """learning rate at its end"""

    loss: float
    """mean over the epoch's images, each as of its own step"""

    train_accuracy: float
    """share of (augmented) images whose largest logit f, not adjusted by any prior, is right"""

    images_per_second: float
    seconds: float


def write_history(path: Path, rows: Sequence[Mapping[str, float | int | str]]) -> None:
    """Write one row per epoch; all rows have the keys of the first. Not rounded: learning rates are small."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)

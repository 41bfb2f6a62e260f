"""The official image lists of the paper's datasets: file and hash, counts and groups of each."""

import csv
from dataclasses import dataclass
from pathlib import Path

from dualtail.downloads.sources import Source, source_named

TABLE = Path(__file__).with_suffix(".csv")


@dataclass(frozen=True)
class KnownList:
    """One official list; what iNaturalist calls val is the test split of the paper.

    Attributes:
        source: Its file: name in the OLTR and LIFT releases, size and hash of the uncompressed text.
        images: Number of lines.
        classes: Number of labels.
        groups: Classes in D-Many (> 100 images), D-Medium, D-Few (< 20); None for balanced splits.
    """

    source: Source
    images: int
    classes: int
    groups: tuple[int, ...] | None


def official_list(dataset: str, split: str) -> KnownList | None:
    """The official list of a split of imagenet_lt, places365_lt or inat2018; None if there is none."""
    with TABLE.open(newline="", encoding="utf-8") as stream:
        rows = {(row["dataset"], row["split"]): row for row in csv.DictReader(stream)}
    row = rows.get((dataset, split))
    source = source_named(f"{dataset}.{split}")
    if row is None or source is None:
        return None
    groups = tuple(int(row[group]) for group in ("many", "medium", "few") if row[group]) or None
    return KnownList(source, int(row["images"]), int(row["classes"]), groups)

"""The official image lists of the paper's datasets: size, hash, counts and groups of each."""

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_suffix(".csv")


@dataclass(frozen=True)
class KnownList:
    """One official list.

    Attributes:
        dataset: imagenet_lt, places365_lt or inat2018.
        split: train, val or test; what iNaturalist calls val is the test split of the paper.
        file: Its name in the OLTR and LIFT releases.
        bytes: Size of the text, uncompressed.
        sha256: Of the text, uncompressed.
        images: Number of lines.
        classes: Number of labels.
        groups: Classes in D-Many (> 100 images), D-Medium, D-Few (< 20); None for balanced splits.
    """

    dataset: str
    split: str
    file: str
    bytes: int
    sha256: str
    images: int
    classes: int
    groups: tuple[int, int, int] | None


def known_lists() -> list[KnownList]:
    """Every row of known_lists.csv."""
    with TABLE.open(newline="", encoding="utf-8") as stream:
        return [_known_list(row) for row in csv.DictReader(stream)]


def _known_list(row: dict[str, str]) -> KnownList:
    many, medium, few = row["many"], row["medium"], row["few"]
    return KnownList(
        dataset=row["dataset"],
        split=row["split"],
        file=row["file"],
        bytes=int(row["bytes"]),
        sha256=row["sha256"],
        images=int(row["images"]),
        classes=int(row["classes"]),
        groups=(int(many), int(medium), int(few)) if many else None,
    )


def official_list(dataset: str, split: str) -> KnownList | None:
    """The official list of a split, or None if there is none."""
    found = (k for k in known_lists() if (k.dataset, k.split) == (dataset, split))
    return next(found, None)


def sha256_of(text: str) -> str:
    """The hash by which lists are known: of the uncompressed UTF-8 text."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()

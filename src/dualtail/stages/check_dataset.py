"""Stage check-dataset: what is there and what is wrong of one dataset, before anything is made of it."""

from pathlib import Path
from typing import Any

from dualtail.datasets.check import DatasetCheck, check_dataset
from dualtail.datasets.train_counts import write_counts_csv


def run(train_counts: Path | None, **given: Any) -> DatasetCheck:
    """Check lists, names, hashes, classes and groups, and that every image is there; none is decoded.

    Args:
        train_counts: CSV of class names and training images per class, written if nothing is wrong.
        given: Arguments of `check_dataset`.

    Returns:
        What was found; nothing is raised.
    """
    found = check_dataset(**given)
    if train_counts is not None and not found.problems:
        write_counts_csv(train_counts, found.names, found.lists["train"].counts(len(found.names)))
    return found

"""Stage check-dataset: what is there and what is wrong of one dataset, before anything is made of it."""

from collections.abc import Mapping
from pathlib import Path

from dualtail.datasets.check import DatasetCheck, check_dataset
from dualtail.datasets.settings import NamesFormat, NamesVersion
from dualtail.datasets.train_counts import write_counts_csv


def run(
    class_names: Path,
    names_format: NamesFormat,
    names: NamesVersion,
    splits: Mapping[str, tuple[Path, Path]],
    official: str = "",
    group_counts: Path | None = None,
    train_counts: Path | None = None,
    many: int = 100,
    few: int = 20,
) -> DatasetCheck:
    """Check lists, names, hashes, classes and groups, and that every image is there; none is decoded.

    Args:
        splits: Split -> (image list, folder or zip archive of images); train must be among them.
        group_counts: CSV of counts that make the D-groups, in place of the training images.
        train_counts: CSV of class names and training images per class, written if nothing is wrong.

    Returns:
        What was found; nothing is raised.
    """
    found = check_dataset(
        class_names, names_format, names, dict(splits), official, group_counts, many, few
    )
    if train_counts is not None and not found.problems:
        write_counts_csv(train_counts, found.names, found.lists["train"].counts(len(found.names)))
    return found

"""How many images and classes a dataset has, also where none of it is on this machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dualtail.datasets.image_list import read_image_list
from dualtail.datasets.known_lists import official_list
from dualtail.datasets.settings import DatasetEntry
from dualtail.datasets.world.settings import WorldSettings
from dualtail.plan.scope import split_files


@dataclass(frozen=True)
class DatasetSize:
    """One dataset.

    Attributes:
        images: Split -> number of images.
        n_classes: C.
        source: Where the numbers come from.
    """

    images: Mapping[str, int]
    n_classes: int
    source: str


def dataset_size(
    name: str, entry: DatasetEntry, world: WorldSettings | None = None
) -> DatasetSize | None:
    """Size of a dataset: of its official lists, of the lists on disk, as the world draws it, or None.

    Args:
        name: Its name in the config.
        entry: Its entry in the config.
        world: The world if it draws this dataset.

    Raises:
        UserError: a list on disk that cannot be read.
    """
    splits = split_files(entry)
    if entry.official:
        known = {split: official_list(entry.official, split) for split in splits}
        found = {split: row for split, row in known.items() if row is not None}
        if len(found) == len(splits):
            images = {split: row.images for split, row in found.items()}
            return DatasetSize(images, found["train"].classes, "official lists")
    paths: dict[str, Path] = {split: entry.root / files.list for split, files in splits.items()}
    if not all(path.is_file() for path in paths.values()):
        return None if world is None else _drawn_size(name, list(splits), world)
    lists = {split: read_image_list(path) for split, path in paths.items()}
    n_classes = 1 + max(int(images.labels.max()) for images in lists.values())
    return DatasetSize(
        {split: len(rows) for split, rows in lists.items()}, n_classes, "image lists"
    )


def _drawn_size(name: str, splits: list[str], world: WorldSettings) -> DatasetSize:
    from dualtail.datasets.world.design import images_per_test_class, training_counts

    counts = training_counts(world, name)
    images = {
        "train": int(counts.sum()),
        "val": len(counts) * world.val_per_class,
        "test": len(counts) * images_per_test_class(world, name),
    }
    return DatasetSize({split: images[split] for split in splits}, len(counts), "the world")

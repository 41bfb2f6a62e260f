"""The same picture in two splits, under whatever names: what is tested must not have been trained on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from dualtail.datasets.image_list import ImageList
from dualtail.datasets.images import ImageStore


@dataclass(frozen=True)
class SamePictures:
    """Pictures of two splits that are equal to the byte.

    Attributes:
        splits: The two.
        names: Image of the first -> image of the second.
    """

    splits: tuple[str, str]
    names: dict[str, str]


def same_pictures(
    images: Mapping[str, ImageList], stores: Mapping[str, ImageStore]
) -> list[SamePictures]:
    """Find equal files under different names; those that are missing or cannot be read are left out.

    Sizes are compared first, then 4 KB of the files of equal size, then the checksums of what is still
    equal; archives know their checksums. So little is read: of photographs, some KB per image of the
    smaller split. Memory: some 200 bytes per image.
    """
    first: dict[tuple[str, str], str] = {}
    for split, listed in images.items():
        where = str(stores[split].path)
        for name in listed.paths:
            first.setdefault((where, name), split)
    found: list[tuple[Any, str, str]] = [(None, split, name) for (_, name), split in first.items()]
    del first
    stages: list[Callable[[ImageStore, str], Any]] = [ImageStore.size, ImageStore.checksum]
    if not any(store.is_archive for store in stores.values()):
        stages.insert(1, ImageStore.sample)
    for stage in stages:
        found = _in_two_splits([_refined(stage, stores[s], key, s, n) for key, s, n in found])
    return _pairs(list(images), found)


def _refined(
    stage: Callable[[ImageStore, str], Any], store: ImageStore, key: Any, split: str, name: str
) -> tuple[Any, str, str]:
    try:
        value = stage(store, name)
    except (OSError, KeyError):
        value = object()  # equal to nothing
    return (value if key is None else (key, value)), split, name


def _in_two_splits(found: list[tuple[Any, str, str]]) -> list[tuple[Any, str, str]]:
    first: dict[Any, str] = {}
    both = {key for key, split, _ in found if first.setdefault(key, split) != split}
    return [item for item in found if item[0] in both]


def _pairs(order: list[str], found: list[tuple[Any, str, str]]) -> list[SamePictures]:
    by_split: dict[str, dict[Any, str]] = {split: {} for split in order}
    for key, split, name in found:
        by_split[split].setdefault(key, name)
    pairs = []
    for one, other in combinations(order, 2):
        names = {
            name: by_split[other][key]
            for key, name in by_split[one].items()
            if key in by_split[other]
        }
        if names:
            pairs.append(SamePictures((one, other), names))
    return pairs

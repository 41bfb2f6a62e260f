"""Checking a dataset before anything is computed from it: lists, hashes, classes, groups, files.

The verb `check-dataset` does it for one dataset, `check-data` for all of a config.
"""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dualtail.bias.groups import D_GROUPS, d_groups
from dualtail.datasets.class_names import dataset_class_names
from dualtail.datasets.how_to_get import get_class_names, get_images, get_list
from dualtail.datasets.image_list import ImageList, read_image_list
from dualtail.datasets.images import ImageStore, check_files
from dualtail.datasets.known_lists import official_list
from dualtail.datasets.same_pictures import same_pictures
from dualtail.datasets.settings import NamesFormat, NamesVersion
from dualtail.datasets.text_file import read_text_file
from dualtail.datasets.train_counts import read_counts_csv
from dualtail.errors import UserError


@dataclass
class DatasetCheck:
    """What was found.

    Attributes:
        names: (C,) class names; empty if they cannot be read.
        lists: Split -> list, of those that can be read.
        facts: Lines on what is there.
        problems: Lines on what is wrong, each with the fix.
        passed: What is known if there are no problems.
    """

    names: list[str] = field(default_factory=list)
    lists: dict[str, ImageList] = field(default_factory=dict)
    facts: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    passed: str = "every image is there"

    @contextmanager
    def collecting(self, help: str = "") -> Iterator[None]:
        """What is wrong within becomes a problem, with the fix added."""
        try:
            yield
        except UserError as error:
            self.problems.append(f"{error}{help}")

    @property
    def lines(self) -> list[str]:
        """What is there, then what is wrong, for people."""
        ok = [] if self.problems else [f"ok: {self.passed}"]
        return [*self.facts, *ok, *(f"WRONG  {problem}" for problem in self.problems)]


def check_dataset(
    class_names: Path,
    names_format: NamesFormat,
    names: NamesVersion,
    splits: dict[str, tuple[Path, Path]],
    official: str = "",
    group_counts: Path | None = None,
    many: int = 100,
    few: int = 20,
) -> DatasetCheck:
    """Check one dataset without decoding an image.

    Args:
        splits: Split -> (image list, folder or zip archive of images); `train` must be among them.
        official: Dataset whose official lists these must be, or "".
        group_counts: CSV of counts that make the D-groups; None: the training images.
    """
    found = DatasetCheck()
    found.lists = _read_lists(splits, official, found)
    if not class_names.is_file():
        found.problems.append(
            f"{class_names}: no such file of class names; {get_class_names(official, class_names)}"
        )
    elif "train" in found.lists:
        with found.collecting():
            _check_names(class_names, names_format, names, found)
    for split, (path, _) in splits.items():
        if split in found.lists and official:
            _check_official(official, split, path, found.lists[split], found)
    _check_classes(class_names, found)
    if group_counts is not None:
        with found.collecting():
            counts = read_counts_csv(group_counts, found.names or None)
            _note_groups(str(group_counts), counts, many, few, found)
    elif "train" in found.lists:
        train = found.lists["train"]
        counts = train.counts(max(len(found.names), int(train.labels.max()) + 1))
        _note_groups(str(train.source), counts, many, few, found)
    with ExitStack() as stack:
        stores: dict[str, ImageStore] = {}
        for split, listed in found.lists.items():
            images = splits[split][1]
            with found.collecting(f"; {get_images(official, images)}"):
                stores[split] = stack.enter_context(ImageStore(images))
                check_files(listed, stores[split])
        _note_same_pictures(stores, found)
    unread = {images for split, (_, images) in splits.items() if split not in found.lists}
    for images in sorted(unread - {splits[split][1] for split in found.lists}):
        if not images.exists():
            found.problems.append(
                f"{images}: no such folder or archive of images; {get_images(official, images)}"
            )
    _note_duplicates(splits, found)
    return found


def _note_groups(source: str, counts: np.ndarray, many: int, few: int, found: DatasetCheck) -> None:
    """Say how many classes the D-groups have, and once which have none and what to set."""
    sizes = group_sizes(counts, many, few)
    found.facts.append(f"D-Many / Medium / Few by {source}: {_slashed(sizes)} classes")
    empty = [name for name, size in zip(D_GROUPS, sizes, strict=True) if not size]
    if empty:
        found.facts.append(
            f"note: {' and '.join(empty)} {'is' if len(empty) == 1 else 'are'} empty: D-Many are classes of "
            f"more than {many:,} images, D-Few of fewer than {few:,}, and classes have "
            f"{counts.min():,} to {counts.max():,} (median {np.median(counts):,.0f}); scores.many and "
            "scores.few set these bounds"
        )


def _read_lists(
    splits: dict[str, tuple[Path, Path]], official: str, found: DatasetCheck
) -> dict[str, ImageList]:
    lists: dict[str, ImageList] = {}
    for split, (path, images) in splits.items():
        if not path.is_file():
            found.problems.append(
                f"{path}: no such {split} list; {get_list(official, split, path)}"
            )
            continue
        with found.collecting():
            lists[split] = read_image_list(path, root=images)
    return lists


def _check_names(
    path: Path, names_format: NamesFormat, names: NamesVersion, found: DatasetCheck
) -> None:
    found.names = dataset_class_names(path, names_format, names, found.lists["train"])
    found.facts.append(f"{len(found.names):,} class names ({path})")
    for split in found.lists.values():
        split.check_labels(len(found.names))


def _check_official(
    dataset: str, split: str, path: Path, images: ImageList, found: DatasetCheck
) -> None:
    known = official_list(dataset, split)
    if known is None:
        found.problems.append(f"{path}: {dataset} has no official {split} list; set {split}: null")
        return
    data = read_text_file(path).encode("utf-8")  # lists are known by their uncompressed text
    digest = hashlib.sha256(data).hexdigest()
    if digest == known.source.sha256:
        found.facts.append(f"{split}: is the official list {known.source.file}")
        return
    size, whole = len(data), known.source.bytes or 0
    cut = f"; truncated at {size:,} of {whole:,} bytes?" if size < whole else ""
    counts = images.counts(int(images.labels.max()) + 1)
    found.problems.append(
        f"{path}: not the official {known.source.file} (sha256 {digest[:12]}..., expected "
        f"{known.source.sha256[:12]}...; {len(images):,} images of {np.count_nonzero(counts):,} classes, "
        f"expected {known.images:,} of {known.classes:,}){cut}; {get_list(dataset, split, path)}, "
        'or set official: "" to use another list'
    )
    if known.groups is not None and group_sizes(counts) != known.groups:
        found.problems.append(
            f"{path}: D-Many / Medium / Few have {_slashed(group_sizes(counts))} classes, "
            f"expected {_slashed(known.groups)}"
        )


def _check_classes(class_names: Path, found: DatasetCheck) -> None:
    for split, images in found.lists.items():
        n_classes = len(found.names) or int(images.labels.max()) + 1
        if images.labels.max() >= n_classes:
            continue  # reported with the names
        counts = images.counts(n_classes)
        found.facts.append(
            f"{split}: {len(images):,} images, {counts.max():,} to {counts.min():,} per class "
            f"({images.source})"
        )
        empty = np.flatnonzero(counts == 0)
        if empty.size and split == "train":
            shown = ", ".join(f"{i} ({(found.names or ['?'] * n_classes)[i]})" for i in empty[:5])
            found.problems.append(
                f"{images.source}: {empty.size} of {n_classes} classes without a training image: "
                f"{shown}; add images, or take the classes out of {class_names}"
            )
        elif empty.size:
            found.facts.append(f"note: {split}: {empty.size} of {n_classes} classes have no image")


def _note_duplicates(splits: dict[str, tuple[Path, Path]], found: DatasetCheck) -> None:
    seen: dict[tuple[Path, str], str] = {}
    for split, images in found.lists.items():
        where = splits[split][1]
        within = len(images) - len(set(images.paths))
        if within:
            found.facts.append(f"note: {split}: {within:,} lines repeat an image of the same list")
            label_of: dict[str, int] = {}
            for name, label in zip(images.paths, images.labels.tolist(), strict=True):
                if label_of.setdefault(name, label) != label:
                    found.facts.append(
                        f"note: {split}: {name} has two labels, {label_of[name]} and {label}"
                    )
                    break
        for other in sorted({seen[where, name] for name in images.paths if (where, name) in seen}):
            shared = [name for name in images.paths if seen.get((where, name)) == other]
            found.facts.append(
                f"note: {len(set(shared)):,} images are in {other} and {split}, e.g. {shared[0]}"
            )
        seen |= {(where, name): split for name in images.paths}


def _note_same_pictures(stores: dict[str, ImageStore], found: DatasetCheck) -> None:
    for same in same_pictures({split: found.lists[split] for split in stores}, stores):
        one, other = same.splits
        name, copy = next(iter(same.names.items()))
        found.facts.append(
            f"note: {len(same.names):,} pictures of {other} are in {one} under another name, e.g. "
            f"{stores[other].path / copy} is {stores[one].path / name}"
        )


def group_sizes(counts: np.ndarray, many: int = 100, few: int = 20) -> tuple[int, ...]:
    """Classes in D-Many, D-Medium and D-Few."""
    return tuple(len(classes) for classes in d_groups(counts, many, few).values())


def _slashed(sizes: tuple[int, ...]) -> str:
    return " / ".join(f"{size:,}" for size in sizes)

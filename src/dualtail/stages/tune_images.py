"""Steps of `tune --images` before the tuning: splits and packs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dualtail.datasets.class_names import read_class_names
from dualtail.datasets.image_folder import read_image_folder
from dualtail.datasets.image_list import ImageList, read_image_list, write_image_list
from dualtail.datasets.pack_file import open_pack
from dualtail.datasets.settings import SPLITS, PackSettings
from dualtail.datasets.split import stratified_split
from dualtail.errors import UserError
from dualtail.files import write_text
from dualtail.stages.pack import run as pack
from dualtail.training.notice import notice


@dataclass(frozen=True)
class LabelledSplits:
    """Labelled images, as splits.

    Attributes:
        root: Folder or zip archive that all paths are under.
        class_names: C names.
        splits: train and test, perhaps val.
        made: How the splits were made, for the user; "" if they were there.
    """

    root: Path
    class_names: list[str]
    splits: Mapping[str, ImageList]
    made: str = ""


def find_splits(
    root: Path,
    lists: Mapping[str, Path],
    class_names: Path | None,
    test_share: float,
    seed: int,
) -> LabelledSplits:
    """Find images and their splits; what is not split is split here, class by class.

    Args:
        root: A folder with one folder per class; or train, test (and val) with that in each; or, with
            `lists`, the folder or zip archive that their paths are under.
        lists: Split -> image list; train at least, or none.
        class_names: One per line, in label order; needed with `lists`.
        test_share: Share of test images, if they are split here.
        seed: Which images they are.

    Raises:
        UserError: nothing there, names that do not fit, or a class without images.
    """
    if lists:
        if class_names is None or "train" not in lists:
            raise UserError("image lists need --train-list and --class-names (one name per line)")
        names = read_class_names(class_names)
        found = {split: read_image_list(file, len(names), root) for split, file in lists.items()}
    elif (root / "train").is_dir():
        names, found = _split_folders(root, class_names)
    else:
        names, images = read_image_folder(root, class_names)
        found = {"train": images}
    if "test" in found:
        return LabelledSplits(root, names, found)
    images = found.pop("train")
    train, test = stratified_split(images.labels, test_share, seed)
    if not len(test):
        raise UserError(
            f"{root}: no class has two images, one to train on and one to test; add some"
        )
    parts = {"train": _rows(images, train), "test": _rows(images, test)}
    made = (
        f"no test split: {len(train):,} images for training and {len(test):,} for testing, "
        f"{test_share:.0%} of every class (seed {seed})"
    )
    return LabelledSplits(root, names, parts | found, made)


def make_packs(
    data: LabelledSplits, dataset: str, side: int, whole: bool, folder: Path, threads: int
) -> dict[str, Path]:
    """Write lists and packs, but for splits that are packed already: a repeated command goes on.

    Args:
        side: Shorter side after resizing, in pixels.
        whole: Pack whole training images, for random crops.
        folder: Where `lists` and `packs` go.

    Returns:
        Split -> its pack.

    Raises:
        UserError: an image that cannot be read (which one).
    """
    lists = folder / "lists"
    if data.made:
        notice(f"{data.root}: {data.made}; the lists are in {lists}")
    names = lists / "classnames.txt"
    write_text(names, "".join(f"{name}\n" for name in data.class_names))
    found: dict[str, Path] = {}
    for split, images in data.splits.items():
        file = lists / f"{split}.txt"
        if not (file.exists() and images.source.exists() and file.samefile(images.source)):
            write_image_list(file, images.paths, images.labels)
        found[split] = out = folder / "packs" / f"{split}_{side}px.safetensors"
        how = PackSettings() if whole and split == "train" else None
        if not _is_packed(out, images, data.class_names, how is not None):
            pack(dataset, split, file, data.root, names, side, how, threads, out)
    return found


def _split_folders(root: Path, class_names: Path | None) -> tuple[list[str], dict[str, ImageList]]:
    """train, val and test with one folder per class in each; the classes are those of train."""
    found: dict[str, ImageList] = {}
    classes: list[str] = []
    names: list[str] = []
    for split in SPLITS:
        if not (root / split).is_dir():
            continue
        own, images = read_image_folder(root / split, class_names if split == "train" else None)
        folders = sorted({path.split("/")[0] for path in images.paths})
        if split == "train":
            names = own
            classes = read_image_folder(root / split)[0]
        unknown = sorted(set(folders) - set(classes))
        if unknown:
            raise UserError(f"{root / split / unknown[0]}: no such class in {root / 'train'}")
        labels = np.array([classes.index(p.split("/")[0]) for p in images.paths], dtype=np.int64)
        found[split] = ImageList(root, [f"{split}/{path}" for path in images.paths], labels)
    return names, found


def _rows(images: ImageList, rows: np.ndarray) -> ImageList:
    return replace(images, paths=[images.paths[row] for row in rows], labels=images.labels[rows])


def _is_packed(path: Path, images: ImageList, names: Sequence[str], whole: bool) -> bool:
    if not path.is_file():
        return False
    header = open_pack(path).header
    same = header.split_hash == images.hash and header.class_names == list(names)
    return same and (header.form != "squares") == whole

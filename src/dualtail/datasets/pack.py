"""Packed splits: the central square of every image decoded once, as one memory-mapped array.

A pack is a safetensors file: `images` (N, S, S, 3) uint8, `labels` (N,) int64 and a JSON header. S is the
`resize` of the transform, so the evaluation crop from the pack equals the one from the original.
Memory: one image at a time while writing, only the rows in use while reading. Whole images, which
random crops are cut from, are in packs of another form: see `whole_pack`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from dualtail.datasets.image_list import ImageList
from dualtail.datasets.images import ImageStore, decode_squares
from dualtail.datasets.pack_file import Entries, PackHeader, header_bytes, open_pack
from dualtail.errors import UserError
from dualtail.files import atomic_path


@dataclass(frozen=True)
class PackedLabels:
    """Fields of every packed split.

    Attributes:
        header: What it is.
        labels: (N,) int64.
    """

    header: PackHeader
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def n_classes(self) -> int:
        return len(self.header.class_names)

    def counts(self) -> np.ndarray:
        """(C,) images per class."""
        return np.bincount(self.labels, minlength=self.n_classes)


@dataclass(frozen=True)
class Pack(PackedLabels):
    """One split as central squares.

    Attributes:
        images: (N, S, S, 3) uint8, memory-mapped.
    """

    images: np.ndarray


def write_pack(
    path: Path,
    dataset: str,
    split: str,
    images: ImageList,
    store: ImageStore,
    class_names: list[str],
    side: int,
    threads: int = 1,
) -> None:
    """Decode a split into a pack, image by image.

    Raises:
        UserError: a missing or corrupt image (which one, which line), or a full disk.
    """
    header = PackHeader(
        dataset=dataset, split=split, split_hash=images.hash, class_names=class_names
    )
    entries: Entries = {
        "images": ("U8", (len(images), side, side, 3)),
        "labels": ("I64", (len(images),)),
    }
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        stream.write(header_bytes(header, entries))
        squares = decode_squares(images, store, side, threads)
        for array in tqdm(
            squares, f"packing {dataset}/{split}", len(images), unit="img", disable=None
        ):
            stream.write(np.ascontiguousarray(array).data)
        stream.write(images.labels.astype("<i8").tobytes())


def read_pack(path: Path) -> Pack:
    """Memory-map a pack.

    Raises:
        UserError: no such file, truncated, or not a pack of squares.
    """
    file = open_pack(path)
    if file.header.form != "squares":
        raise UserError(f"{path}: holds whole images for training; squares are wanted here")
    return Pack(file.header, file.integers("labels"), file.memory_map("images"))

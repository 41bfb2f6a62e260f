"""Packed splits: every image of a list decoded once, as one memory-mapped array.

A pack is a safetensors file: `images` (N, S, S, 3) uint8, `labels` (N,) int64 and a JSON header. S is the
`resize` of the transform, so the evaluation crop from the pack equals the one from the original.
Memory: one image at a time while writing, only the rows in use while reading.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from tqdm import tqdm

from dualtail.datasets.image_list import ImageList
from dualtail.datasets.images import ImageStore, decode_squares
from dualtail.errors import UserError
from dualtail.files import atomic_path

HEADER_KEY = "dualtail-pack"


class PackHeader(BaseModel):
    """What a pack says about itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str
    split: str
    split_hash: str
    class_names: list[str]


@dataclass(frozen=True)
class Pack:
    """One packed split.

    Attributes:
        header: What it is.
        images: (N, S, S, 3) uint8, memory-mapped.
        labels: (N,) int64.
    """

    header: PackHeader
    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def n_classes(self) -> int:
        return len(self.header.class_names)

    def counts(self) -> np.ndarray:
        """(C,) images a class."""
        return np.bincount(self.labels, minlength=self.n_classes)


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
    shape = (len(images), side, side, 3)
    size = int(np.prod(shape))
    table = {
        "__metadata__": {HEADER_KEY: header.model_dump_json()},
        "images": {"dtype": "U8", "shape": list(shape), "data_offsets": [0, size]},
        "labels": {
            "dtype": "I64",
            "shape": [len(images)],
            "data_offsets": [size, size + 8 * len(images)],
        },
    }
    text = json.dumps(table).encode()
    text += b" " * (-len(text) % 8)
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        squares = decode_squares(images, store, side, threads)
        for array in tqdm(
            squares, f"packing {dataset}/{split}", len(images), unit="img", disable=None
        ):
            stream.write(np.ascontiguousarray(array).data)
        stream.write(images.labels.astype("<i8").tobytes())


def read_pack(path: Path) -> Pack:
    """Memory-map a pack.

    Raises:
        UserError: no such file, truncated, or not a pack.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as stream:
            metadata = stream.metadata() or {}
            labels = stream.get_tensor("labels")
        with path.open("rb") as raw:
            size = int.from_bytes(raw.read(8), "little")
            table = json.loads(raw.read(size))
        header = PackHeader.model_validate_json(metadata[HEADER_KEY])
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, SafetensorError, KeyError, ValidationError) as error:
        raise UserError(f"{path}: not a pack, or truncated; delete it and re-run") from error
    entry = table["images"]
    offset = 8 + size + entry["data_offsets"][0]
    images = np.memmap(path, np.uint8, "r", offset, tuple(entry["shape"]))
    return Pack(header, images, labels)

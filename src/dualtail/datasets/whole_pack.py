"""Packed training splits: whole images, of which every epoch cuts other crops.

A safetensors file: `bytes` (T,) uint8, `offsets` (N + 1,) int64 into it, `sizes` (N, 2) int64 (height,
width), `labels` (N,) int64, and a JSON header. An image is raw RGB, rows first, or a JPEG file. The
shorter side is at most the transform's `resize`. Memory: some images at a time while writing, only what is
in use while reading.
"""

import io
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from PIL import Image
from tqdm import tqdm

from dualtail.datasets.image_list import ImageList
from dualtail.datasets.images import (
    ImageStore,
    decode_all,
    decode_whole,
    open_image,
    shape_of,
    shrunk_size,
)
from dualtail.datasets.pack import Pack, PackedLabels
from dualtail.datasets.pack_file import (
    Entries,
    PackForm,
    PackHeader,
    header_bytes,
    open_pack,
    write_padded,
)
from dualtail.datasets.settings import PackSettings
from dualtail.errors import UserError
from dualtail.files import atomic_path

if TYPE_CHECKING:
    import torch

SAMPLE = 256
"""Images whose sizes an estimate goes by."""


@dataclass(frozen=True)
class WholePack(PackedLabels):
    """One split as whole images.

    Attributes:
        data: (T,) uint8, memory-mapped.
        offsets: (N + 1,) int64.
        sizes: (N, 2) int64: height and width.
        source: The file.
    """

    data: "torch.Tensor"
    offsets: np.ndarray
    sizes: np.ndarray
    source: Path

    def image(self, row: int) -> "torch.Tensor":
        """Return one image, (H, W, 3) uint8.

        Raises:
            UserError: its bytes are damaged, or of another size than the pack says.
        """
        part = self.data[self.offsets[row] : self.offsets[row + 1]]
        height, width = self.sizes[row].tolist()
        try:
            if self.header.form == "raw":
                return part.view(height, width, 3)
            # The header first: nothing larger than a pack may hold is decoded.
            found = open_image(part.numpy().tobytes()).size
            if found != (width, height):
                raise ValueError(f"{found[0]} x {found[1]} pixels, not {width} x {height}")
            return _decoded_jpeg(part)
        except Exception as error:  # decoders raise nearly every type there is
            reason = str(error).removeprefix("decode_jpeg, ")
            raise UserError(
                f"{self.source}: image {row} is damaged ({reason}); delete the pack and re-run"
            ) from error


TrainingPack = Pack | WholePack


def _decoded_jpeg(part: "torch.Tensor") -> "torch.Tensor":
    # A third less time than Pillow, and no GIL. Deprecated since torchvision 0.29 in favor of
    # TorchCodec, which is not a dependency.
    from torchvision.io import ImageReadMode, decode_jpeg

    pixels = decode_jpeg(part, mode=ImageReadMode.RGB)
    return cast("torch.Tensor", pixels).permute(1, 2, 0)


def write_whole_pack(
    path: Path,
    dataset: str,
    split: str,
    images: ImageList,
    store: ImageStore,
    class_names: list[str],
    side: int,
    settings: PackSettings,
    threads: int = 1,
) -> None:
    """Decode a split into a pack of whole images.

    Raises:
        UserError: a missing or corrupt image (which one, which line), or a full disk.
    """
    form = _form(path, raw_size(images, store, side), settings)
    header = PackHeader(
        dataset=dataset,
        split=split,
        split_hash=images.hash,
        class_names=class_names,
        form=form,
    )
    n = len(images)
    sizes = np.empty((n, 2), dtype=np.int64)

    def encoded(row: int) -> bytes:
        image = decode_whole(images, store, row, side)
        sizes[row] = image.height, image.width
        return image.tobytes() if form == "raw" else _jpeg(image, settings.jpeg_quality)

    def entries(n_bytes: int) -> Entries:
        return {
            "bytes": ("U8", (n_bytes,)),
            "offsets": ("I64", (n + 1,)),
            "sizes": ("I64", (n, 2)),
            "labels": ("I64", (n,)),
        }

    room = len(header_bytes(header, entries(2**62)))  # no pack has as many bytes
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        stream.seek(room)
        chunks = tqdm(
            decode_all(images, store, encoded, threads),
            f"packing {dataset}/{split}",
            n,
            unit="img",
            disable=None,
        )
        offsets = write_padded(stream, chunks)
        n_bytes = stream.tell() - room
        for array in (offsets, sizes, images.labels):
            stream.write(array.astype("<i8").tobytes())
        stream.seek(0)
        stream.write(header_bytes(header, entries(n_bytes), room))


def read_training_pack(path: Path) -> TrainingPack:
    """Memory-map the pack of a training split, of either kind.

    Raises:
        UserError: no such file, truncated, or not a pack.
    """
    import torch

    file = open_pack(path)
    labels = file.integers("labels")
    if file.header.form == "squares":
        return Pack(file.header, labels, file.memory_map("images"))
    with warnings.catch_warnings():
        # The map is read-only, and nothing writes to it. (A private writable one would count as
        # memory: systems refuse it if it is larger than theirs.)
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        data = torch.from_numpy(file.memory_map("bytes"))
    offsets, sizes = file.integers("offsets"), file.integers("sizes")
    return WholePack(file.header, labels, data, offsets, sizes, path)


def raw_size(images: ImageList, store: ImageStore, side: int) -> int:
    """Bytes of a raw pack of a split, estimated from up to `SAMPLE` images spread over it.

    Raises:
        UserError: a missing file, or a corrupt image among those.
    """
    rows = np.unique(np.linspace(0, len(images) - 1, min(SAMPLE, len(images))).astype(int))
    total = 0
    for row in rows.tolist():
        if not store.has(images.paths[row]):
            raise UserError(f"{images.where(row)}: not in {store.path}")
        width, height = shape_of(images, store, row)
        if min(width, height) > side:
            width, height = shrunk_size(width, height, side)
        total += 3 * width * height
    return total * len(images) // len(rows)


def _form(path: Path, raw_bytes: int, settings: PackSettings) -> PackForm:
    """Raw or JPEG; a raw pack must fit on the disk."""
    form = settings.format
    if form == "auto":
        form = "raw" if raw_bytes <= settings.raw_limit_gb * 1e9 else "jpeg"
    if form == "raw":
        _check_room(path, raw_bytes)
    return form


def _check_room(path: Path, n_bytes: int) -> None:
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if n_bytes > free:
        raise UserError(
            f"{path}: cannot be written: about {n_bytes / 1e9:.1f} GB needed, {free / 1e9:.1f} GB "
            "free; take --whole format=jpeg (of a run: packs.format), or another disk"
        )


def _jpeg(image: Image.Image, quality: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()

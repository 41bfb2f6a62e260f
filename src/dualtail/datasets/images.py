"""Decoding images from a folder or a zip archive."""

import io
import os
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from PIL import Image

from dualtail.datasets.image_list import ImageList
from dualtail.errors import UserError

MAX_PIXELS = 100_000_000
"""Larger images are refused: a decompression bomb, or a mistake."""

READ_AHEAD = 64
"""Images decoded ahead of the consumer, a thread."""


class ImageStore:
    """The files of one split: a folder, or a zip archive by its `.zip` ending."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._archive: zipfile.ZipFile | None = None
        if path.suffix.lower() == ".zip":
            try:
                self._archive = zipfile.ZipFile(path)
            except FileNotFoundError:
                raise UserError(f"{path}: no such archive of images") from None
            except (OSError, zipfile.BadZipFile) as error:
                raise UserError(f"{path}: not a readable zip archive ({error})") from error
            self._names = set(self._archive.namelist())
        elif not path.is_dir():
            raise UserError(f"{path}: no such folder of images")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._archive is not None:
            self._archive.close()

    def has(self, name: str) -> bool:
        """Whether the file exists."""
        if self._archive is not None:
            return name in self._names
        return os.path.isfile(self.path / name)

    def read(self, name: str) -> bytes:
        """The bytes of one file."""
        if self._archive is not None:
            return self._archive.read(name)
        return (self.path / name).read_bytes()


def check_files(images: ImageList, store: ImageStore) -> None:
    """Look for every file before any is decoded.

    Raises:
        UserError: names the first missing file, its line, and how many are missing.
    """
    missing = [row for row, name in enumerate(images.paths) if not store.has(name)]
    if missing:
        raise UserError(
            f"{images.where(missing[0])}: not in {store.path} "
            f"({len(missing)} of {len(images)} images missing)"
        )


def decode_squares(
    images: ImageList, store: ImageStore, side: int, threads: int = 1
) -> Iterator[np.ndarray]:
    """Decode every image of a list, in order, to its central square.

    The shorter side is resized to `side` (PIL bilinear, antialiased) and the centre cut out, with the
    rounding of torchvision's Resize and CenterCrop.

    Yields:
        (side, side, 3) uint8 arrays.

    Raises:
        UserError: missing or corrupt image; which one, and its line.
    """
    check_files(images, store)
    with ThreadPoolExecutor(threads) as pool:
        window = READ_AHEAD * threads
        for start in range(0, len(images), window):
            rows = range(start, min(start + window, len(images)))
            yield from pool.map(lambda row: decode_square(images, store, row, side), rows)


def decode_square(images: ImageList, store: ImageStore, row: int, side: int) -> np.ndarray:
    """Decode one image of a list to its central square, (side, side, 3) uint8.

    Raises:
        UserError: corrupt image; which one, and its line.
    """
    try:
        return square(Image.open(io.BytesIO(store.read(images.paths[row]))), side)
    except (OSError, ValueError, SyntaxError, zipfile.BadZipFile, EOFError) as error:
        raise UserError(f"{images.where(row)}: corrupt image ({error})") from error


def square(image: Image.Image, side: int) -> np.ndarray:
    """The central square of one image, as (side, side, 3) uint8.

    Raises:
        ValueError: the image has more than `MAX_PIXELS`.
    """
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels; at most {MAX_PIXELS} are read")
    rgb = image.convert("RGB")
    if min(width, height) != side:
        if width <= height:
            size = (side, int(side * height / width))
        else:
            size = (int(side * width / height), side)
        rgb = rgb.resize(size, Image.Resampling.BILINEAR)
    width, height = rgb.size
    left, top = round((width - side) / 2.0), round((height - side) / 2.0)
    if (width, height) != (side, side):
        rgb = rgb.crop((left, top, left + side, top + side))
    return np.asarray(rgb)

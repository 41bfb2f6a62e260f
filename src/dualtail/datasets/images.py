"""Decoding images from a folder or a zip archive."""

import io
import os
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError

from dualtail.datasets.image_list import ImageList
from dualtail.errors import UserError

MAX_PIXELS = 100_000_000
"""Larger images are refused: a decompression bomb, or a mistake."""

MAX_BYTES = 1 << 30
"""Larger image files are refused, also when an archive has them compressed: 100 million pixels of 16 bits
without compression are 0.6 GB."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")
"""Formats of photographs. Pillow has more, and for some (EPS) it starts other programs."""

ADVICE = "replace the file, or leave it out"

READ_AHEAD = 64
"""Images decoded ahead of the consumer, a thread."""

Decoded = TypeVar("Decoded")


class ImageStore:
    """The files of one split: a folder, or a zip archive by its `.zip` ending.

    An archive is never extracted: names in it are keys, links are files like any other, and nothing
    outside it is read.

    Raises:
        UserError: neither, not readable, or an archive with a name that comes twice.
    """

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
            names = self._archive.namelist()
            self._names = set(names)
            if len(self._names) < len(names):
                twice = next(name for name, n in Counter(names).items() if n > 1)
                raise UserError(f"{path}: holds {twice!r} twice; remove one of them")
        elif not path.is_dir():
            raise UserError(f"{path}: no such folder of images")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._archive is not None:
            self._archive.close()

    def has(self, name: str) -> bool:
        """Whether the file exists."""
        if self._archive is not None:
            return name in self._names
        return os.path.isfile(self.path / name)

    @property
    def is_archive(self) -> bool:
        """Whether it is a zip archive."""
        return self._archive is not None

    def size(self, name: str) -> int:
        """Bytes of one file, uncompressed; OSError or KeyError if it is not there."""
        if self._archive is not None:
            return self._archive.getinfo(name).file_size
        return (self.path / name).stat().st_size

    def sample(self, name: str) -> int:
        """CRC-32 of 4 KB in the middle of a file of a folder."""
        with (self.path / name).open("rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size // 2 - 2048))
            return zlib.crc32(stream.read(4096))

    def checksum(self, name: str) -> int:
        """CRC-32 of one file; an archive has it in its table of contents."""
        if self._archive is not None:
            return self._archive.getinfo(name).CRC
        found = 0
        with (self.path / name).open("rb") as stream:
            while chunk := stream.read(1 << 20):
                found = zlib.crc32(chunk, found)
        return found

    def read(self, name: str) -> bytes:
        """The bytes of one file.

        Raises:
            ValueError: a file of more than `MAX_BYTES`, or compressed by an unusual method.
        """
        if self._archive is None:
            _check_bytes((self.path / name).stat().st_size)
            return (self.path / name).read_bytes()
        member = self._archive.getinfo(name)
        _check_bytes(member.file_size)
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # bzip2 and LZMA are decompressed without a limit.
            raise ValueError("its compression in the archive is neither `stored` nor `deflate`")
        with self._archive.open(member) as stream:
            # With a size, no more is decompressed, whatever the archive says; without it is.
            return stream.read(member.file_size)


def check_files(images: ImageList, store: ImageStore) -> None:
    """Look for every file before any is decoded.

    Raises:
        UserError: names the first missing file, its line, and how many are missing.
    """
    missing = [row for row, name in enumerate(images.paths) if not store.has(name)]
    if missing:
        raise UserError(
            f"{images.where(missing[0])}: not in {store.path} "
            f"({len(missing):,} of {len(images):,} images missing)"
        )


def decode_all(
    images: ImageList, store: ImageStore, decode: Callable[[int], Decoded], threads: int = 1
) -> Iterator[Decoded]:
    """Yield `decode(row)` of every row of a list, in order, by threads; memory of a window.

    Raises:
        UserError: a missing file, before any is decoded; what `decode` raises.
    """
    check_files(images, store)
    with ThreadPoolExecutor(threads) as pool:
        window = READ_AHEAD * threads
        for start in range(0, len(images), window):
            yield from pool.map(decode, range(start, min(start + window, len(images))))


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
    return decode_all(images, store, lambda row: decode_square(images, store, row, side), threads)


def decode_square(images: ImageList, store: ImageStore, row: int, side: int) -> np.ndarray:
    """Decode one image of a list to its central square, (side, side, 3) uint8.

    Raises:
        UserError: corrupt image; which one, and its line.
    """
    with _opened(images, store, row) as image:
        return square(image, side)


def decode_whole(images: ImageList, store: ImageStore, row: int, side: int) -> Image.Image:
    """Decode one image of a list whole, in RGB, its shorter side at most `side`; see `decode_square`."""
    with _opened(images, store, row) as image:
        return shrunk(image, side)


def shape_of(images: ImageList, store: ImageStore, row: int) -> tuple[int, int]:
    """Width and height that one image of a list says it has; nothing is decoded."""
    with _opened(images, store, row) as image:
        return image.size


@contextmanager
def _opened(images: ImageList, store: ImageStore, row: int) -> Iterator[Image.Image]:
    """One image of a list; what decoders raise becomes a message with the image and its line."""
    try:
        with open_image(store.read(images.paths[row])) as image:
            yield image
    except OSError as error:
        # Without a number it is Pillow's own, of the content.
        what = f"cannot be read: {error.strerror}" if error.errno else f"corrupt image ({error})"
        raise UserError(f"{images.where(row)}: {what}; {ADVICE}") from error
    except Exception as error:
        # At damaged files Pillow, zlib and zipfile raise nearly every type there is.
        reason = str(error) or type(error).__name__
        raise UserError(f"{images.where(row)}: corrupt image ({reason}); {ADVICE}") from error


def open_image(data: bytes) -> Image.Image:
    """Open an image without decoding it.

    Raises:
        ValueError: not an image of one of `FORMATS`, or one of more than `MAX_PIXELS`.
    """
    if not data:
        raise ValueError("empty file")
    try:
        with warnings.catch_warnings():
            # Pillow's own limits: a warning below ours, an error above it.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise ValueError(f"not an image; formats: {', '.join(FORMATS)}") from None
    _check_pixels(*image.size)
    return image


def square(image: Image.Image, side: int) -> np.ndarray:
    """The central square of one image, as (side, side, 3) uint8.

    Raises:
        ValueError: the image has more than `MAX_PIXELS`, or would have when resized.
    """
    rgb = _resized(_to_rgb(image), side)
    width, height = rgb.size
    left, top = round((width - side) / 2.0), round((height - side) / 2.0)
    if (width, height) != (side, side):
        rgb = rgb.crop((left, top, left + side, top + side))
    return np.asarray(rgb)


def shrunk(image: Image.Image, side: int) -> Image.Image:
    """The whole image in RGB, its shorter side resized to `side` if it is longer.

    Random crops are enlarged anyway: enlarging the image before would cost room and show nothing
    more.

    Raises:
        ValueError: the image has more than `MAX_PIXELS`.
    """
    rgb = _to_rgb(image)
    return _resized(rgb, side) if min(rgb.size) > side else rgb


def shrunk_size(width: int, height: int, side: int) -> tuple[int, int]:
    """Width and height of an image whose shorter side becomes `side`, rounded as torchvision does."""
    if width <= height:
        return side, int(side * height / width)
    return int(side * width / height), side


def _resized(rgb: Image.Image, side: int) -> Image.Image:
    if min(rgb.size) == side:
        return rgb
    size = shrunk_size(*rgb.size, side)
    _check_pixels(*size)
    return rgb.resize(size, Image.Resampling.BILINEAR)


def _check_bytes(size: int) -> None:
    if size > MAX_BYTES:
        raise ValueError(f"{size:,} bytes; at most {MAX_BYTES:,} are read")


def _check_pixels(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels; at most {MAX_PIXELS} are read")


def _to_rgb(image: Image.Image) -> Image.Image:
    """Convert to 8-bit RGB.

    As in torchvision's loader, transparency and the EXIF orientation are ignored. Pillow cuts 16-bit
    gray levels off at 255; here they are scaled, from 12 bits if the image has no more: cameras and
    microscopes store 12 in 16, and would be nearly black.
    """
    _check_pixels(*image.size)
    if image.mode.startswith("I;16"):
        levels = np.asarray(image)
        image = Image.fromarray((levels >> (4 if levels.max() < 2**12 else 8)).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError("pixels of 32 bits have no known range: save the image with 8 or 16 bits")
    return image.convert("RGB")

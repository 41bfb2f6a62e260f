"""Figures inside a page: smaller files of the same pictures, with the titles and captions that they hold."""

import base64
import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dualtail.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

WIDEST = 1600
"""Pixels; wider pictures are made smaller."""
LARGEST_DRAWING = 250_000
"""Bytes of a PNG file; a larger one holds photographs, for which quality 82 is enough."""


class Picture(NamedTuple):
    """A figure as a page shows it."""

    name: str
    """of its place in the page: `figure-3`"""
    title: str
    caption: str
    width: int
    height: int
    source: str
    """a data URL"""


def read_picture(path: Path) -> Picture:
    """Read a PNG file, and the title and caption that `write_figure` put into it.

    Raises:
        UserError: it is missing or no picture.
    """
    from PIL import Image as images

    try:
        with images.open(path) as image:
            texts = dict(image.info)
            picture = image.convert("RGB")
    except (OSError, ValueError, images.DecompressionBombError) as error:
        raise UserError(f"{path}: not a readable picture ({error})".splitlines()[0]) from error
    if picture.width > WIDEST:
        height = round(picture.height * WIDEST / picture.width)
        picture = picture.resize((WIDEST, height), images.Resampling.LANCZOS)
    data = base64.b64encode(_webp(picture, path.stat().st_size <= LARGEST_DRAWING)).decode("ascii")
    number, words = _number(path.stem), path.stem.replace("_", " ").capitalize()
    return Picture(
        name=f"picture-{path.stem}" if number is None else f"figure-{number}",
        title=str(texts.get("Title") or (words if number is None else f"Figure {number}")),
        caption=str(texts.get("Description") or ""),
        width=picture.width,
        height=picture.height,
        source=f"data:image/webp;base64,{data}",
    )


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Return files in the order of the figures of the paper; others after them, by name."""
    return sorted(paths, key=lambda path: (_number(path.stem) or 10**6, path.stem))


def _webp(picture: "Image", lossless: bool) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "WEBP", lossless=lossless, quality=70 if lossless else 82, method=2)
    return stream.getvalue()


def _number(stem: str) -> int | None:
    found = re.fullmatch(r"figure_(\d+)", stem)
    return int(found[1]) if found else None

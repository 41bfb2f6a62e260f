"""Stage draw-world: a picture of the embedded world."""

from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from dualtail.datasets.world.picture import CAPTION, TITLE, contact_sheet
from dualtail.datasets.world.settings import WorldSettings
from dualtail.files import atomic_path


def run(world: WorldSettings, out: Path) -> None:
    """Write the picture as PNG, with the texts `Title` and `Description` that pages show."""
    texts = PngInfo()
    texts.add_text("Title", TITLE)
    texts.add_text("Description", CAPTION)
    with atomic_path(out) as temporary:
        Image.fromarray(contact_sheet(world)).save(temporary, "PNG", pnginfo=texts)

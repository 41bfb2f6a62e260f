"""Stage draw-world: a picture of the embedded world."""

from pathlib import Path

from PIL import Image

from dualtail.datasets.world.picture import contact_sheet
from dualtail.datasets.world.settings import WorldSettings
from dualtail.files import atomic_path


def run(world: WorldSettings, out: Path) -> None:
    """Write the picture as PNG."""
    with atomic_path(out) as temporary:
        Image.fromarray(contact_sheet(world)).save(temporary, "PNG")

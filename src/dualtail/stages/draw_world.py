"""Stage draw-world: a picture of the embedded world."""

from PIL import Image

from dualtail.datasets.world.picture import contact_sheet
from dualtail.files import atomic_path
from dualtail.jobs import WorldPictureJob


def run(job: WorldPictureJob) -> None:
    """Write the picture as PNG."""
    with atomic_path(job.out) as temporary:
        Image.fromarray(contact_sheet(job.world)).save(temporary)

"""Stage draw-confounder: the images of the six-class study, and its sets A and B."""

from pathlib import Path

from dualtail.confounder.pool import write_pool
from dualtail.confounder.settings import ConfounderSettings
from dualtail.confounder.world_images import WorldImages
from dualtail.datasets.world.settings import WorldSettings
from dualtail.errors import UserError


def run(settings: ConfounderSettings, world: WorldSettings | None, seed: int, out: Path) -> None:
    """Make the images, with Stable Diffusion or as the world draws them; write lists and samples.

    Args:
        world: Draws the creatures where Stable Diffusion is not asked for.
        seed: Of Stable Diffusion; the world has its own.
    """
    per_class = {"train": settings.train_per_class, "test": settings.test_per_class}
    if settings.stable_diffusion is not None:
        from dualtail.confounder.stable_diffusion import StableDiffusionImages

        photographs = StableDiffusionImages(settings.stable_diffusion, seed)
        write_pool(out, photographs, None, per_class, settings.samples)
        return
    if world is None:
        raise UserError("give --stable-diffusion, or --world: whose creatures are drawn")
    creatures = WorldImages(world, settings.world_classes, settings.image_size)
    for_people = WorldImages(world, settings.world_classes, world.display_size)
    write_pool(out, creatures, for_people, per_class, settings.samples)

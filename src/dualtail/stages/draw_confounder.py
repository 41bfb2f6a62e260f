"""Stage draw-confounder: the images of the six-class study, and its sets A and B."""

from dualtail.confounder.pool import write_pool
from dualtail.confounder.world_images import WorldImages
from dualtail.errors import UserError
from dualtail.jobs import DrawConfounderJob


def run(job: DrawConfounderJob) -> None:
    """Make the images, with Stable Diffusion or as the world draws them; write lists and samples.

    Raises:
        UserError: neither source is set, the extra for Stable Diffusion is missing, or the folder
            cannot be written.
    """
    settings = job.settings
    per_class = {"train": settings.train_per_class, "test": settings.test_per_class}
    if settings.stable_diffusion is not None:
        from dualtail.confounder.stable_diffusion import StableDiffusionImages

        photographs = StableDiffusionImages(settings.stable_diffusion, job.seed)
        write_pool(job.out, photographs, None, per_class, settings.samples)
        return
    if job.world is None:
        raise UserError("confounder: set stable_diffusion, or a world whose creatures are drawn")
    creatures = WorldImages(job.world, settings.world_classes, settings.image_size)
    for_people = WorldImages(job.world, settings.world_classes, job.world.display_size)
    write_pool(job.out, creatures, for_people, per_class, settings.samples)

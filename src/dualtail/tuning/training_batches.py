"""What the training loop iterates over: augmented batches, whatever the images are."""

from collections.abc import Callable, Iterator, Sequence

import torch

from dualtail.tuning.augmentation import Augment
from dualtail.tuning.crop_batches import CropBatches, WholeImages
from dualtail.tuning.pixels import ImageSource, load_batch
from dualtail.tuning.settings import Augmentation


def training_batches(
    images: ImageSource | WholeImages,
    settings: Augmentation,
    size: tuple[int, int],
    generator: torch.Generator,
    device: torch.device,
) -> Callable[[Sequence[torch.Tensor]], Iterator[torch.Tensor]]:
    """Return a function from batches of indices (B,) to augmented images (B, 3, *size) on `device`.

    Args:
        images: Of one size (`Augment`), or whole (`CropBatches`).
        settings: What is random.
        size: Height and width the model sees.
        generator: On the CPU, the only source of randomness.
        device: Where batches are needed.

    Raises:
        ValueError: whole images, but no random crops.
    """
    if isinstance(images, WholeImages):
        if settings.crop_scale is None:
            raise ValueError("whole images have many sizes: without random crops give squares")
        return CropBatches(images, settings.crop_scale, settings.flip, size, generator, device)
    augment = Augment(settings, size, generator)
    return lambda batches: (augment(load_batch(images, index, device)) for index in batches)

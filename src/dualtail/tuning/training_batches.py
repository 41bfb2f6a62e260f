"""What the training loop iterates over: augmented batches, whatever the images are."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch

from dualtail.tuning.augmentation import Augment
from dualtail.tuning.crop_batches import CropBatches, WholeImages
from dualtail.tuning.pixels import ImageSource, load_batch
from dualtail.tuning.settings import Augmentation


class TrainingBatches(Protocol):
    """The batches of a training run."""

    def __call__(self, batches: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Yield, for every batch of indices (B,), augmented images (B, 3, *size) on the device."""
        ...

    @property
    def generator_state(self) -> torch.Tensor:
        """State of the generator after the batch yielded last: from there the next one is drawn."""
        ...


class SquareBatches:
    """The batches of a training run whose images are all of one size.

    Args:
        images: What is augmented.
        settings: What is random.
        size: Height and width the model sees.
        generator: On the CPU, the only source of randomness.
        device: Where batches are needed.
    """

    def __init__(
        self,
        images: ImageSource,
        settings: Augmentation,
        size: tuple[int, int],
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        self._images = images
        self._augment = Augment(settings, size, generator)
        self._generator = generator
        self._device = device

    def __call__(self, batches: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        for index in batches:
            yield self._augment(load_batch(self._images, index, self._device))

    @property
    def generator_state(self) -> torch.Tensor:
        """State of the generator after the batch yielded last."""
        return self._generator.get_state()


def training_batches(
    images: ImageSource | WholeImages,
    settings: Augmentation,
    size: tuple[int, int],
    generator: torch.Generator,
    device: torch.device,
) -> TrainingBatches:
    """Return what makes augmented images (B, 3, *size) on `device` of batches of indices (B,).

    Args:
        images: Of one size (`SquareBatches`), or whole (`CropBatches`).
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
    return SquareBatches(images, settings, size, generator, device)

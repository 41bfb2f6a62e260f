"""What training loops iterate over: augmented batches, whatever the images are."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from dualtail.tuning.augmentation import Augment
from dualtail.tuning.augmentation_settings import Augmentation
from dualtail.tuning.crop_batches import CropBatches, WholeImages
from dualtail.tuning.pixels import ImageSource, Normalize, load_batch
from dualtail.tuning.teacher_logits import TeacherLogits


@dataclass(frozen=True)
class TrainingSet:
    """Labeled images that are learned from.

    Attributes:
        images: N images: of one size, or whole if random crops are cut from them.
        labels: (N,) classes.
        mean, std: Normalization of each channel.
        teacher: What teachers say of the images, for losses that learn from it.
    """

    images: ImageSource | WholeImages
    labels: np.ndarray
    mean: Sequence[float]
    std: Sequence[float]
    teacher: TeacherLogits | None = None

    def __len__(self) -> int:
        return len(self.images)


Targets = tuple[torch.Tensor, ...]
"""What the logits of B images are compared with: labels (B,), and the teachers' mean logits (B, C), float32,
if there are teachers."""


class TrainingBatches:
    """Augmented and normalized batches of a training set, with their targets.

    Args:
        data: N images.
        augmentation: What is random.
        size: Height and width the model sees.
        seed: Fixes order and augmentation.
        device: Where batches are needed.

    Attributes:
        generators: Of order and augmentation, on the CPU: the only sources of randomness.
    """

    def __init__(
        self,
        data: TrainingSet,
        augmentation: Augmentation,
        size: tuple[int, int],
        *,
        seed: int,
        device: torch.device,
    ) -> None:
        seeds = np.random.SeedSequence(seed).generate_state(2, np.uint64).tolist()
        self.generators = {
            name: torch.Generator().manual_seed(own)
            for name, own in zip(("order", "augmentation"), seeds, strict=True)
        }
        self._pixels = training_batches(
            data.images, augmentation, size, self.generators["augmentation"], device
        )
        self._normalize = Normalize(data.mean, data.std, device)
        self._labels = torch.as_tensor(data.labels).long().to(device)
        self._teacher = data.teacher
        self._device = device

    def __call__(self, batches: Sequence[torch.Tensor]) -> Iterator[tuple[torch.Tensor, Targets]]:
        """Yield images (B, 3, *size) and targets of every batch of indices (B,)."""
        for index, pixels in zip(batches, self._pixels(batches), strict=True):
            targets: Targets = (self._labels[index.to(self._device, non_blocking=True)],)
            if self._teacher is not None:
                targets += (self._teacher(index).to(self._device, non_blocking=True),)
            yield self._normalize(pixels), targets


def training_batches(
    images: ImageSource | WholeImages,
    settings: Augmentation,
    size: tuple[int, int],
    generator: torch.Generator,
    device: torch.device,
) -> Callable[[Sequence[torch.Tensor]], Iterator[torch.Tensor]]:
    """Return what makes augmented images (B, 3, *size) on `device` of batches of indices (B,).

    Raises:
        ValueError: whole images, but no random crops.
    """
    if isinstance(images, WholeImages):
        if settings.crop_scale is None:
            raise ValueError("whole images have many sizes: without random crops give squares")
        return CropBatches(images, settings.crop_scale, settings.flip, size, generator, device)
    augment = Augment(settings, size, generator)
    return lambda batches: (augment(load_batch(images, index, device)) for index in batches)

"""Random changes to training images, a whole batch at once.

A crop, its resizing and a flip are one linear map along each axis, so a batch is augmented by two
batched matrix products: columns, then rows. The weights are those of the antialiased bilinear
filter (a triangle as wide as the reduction; what Pillow and torchvision's `antialias=True`
compute), so shrinking a large crop does not alias. Only the rounding to whole gray levels that
uint8 pipelines do after resizing is left out.
"""

import math

import torch

from dualtail.tuning.augmentation_settings import Augmentation
from dualtail.tuning.pixels import center_crop

RATIO = (3 / 4, 4 / 3)
"""Smallest and largest width / height of a random crop, the usual default."""

ATTEMPTS = 10
"""Draws for a crop that fits in the image, before the fall-back to a central one."""


def random_boxes(
    n: int,
    image_size: tuple[int, int] | torch.Tensor,
    scale: tuple[float, float],
    generator: torch.Generator,
) -> torch.Tensor:
    """Draw the boxes of RandomResizedCrop.

    The share of the area is uniform in `scale`, the log of width / height uniform in `RATIO`; of
    `ATTEMPTS` draws the first that fits is taken, else the largest central box within `RATIO`.

    Args:
        n: Number of boxes.
        image_size: Height and width of the images, pixels: of all, or (n, 2) int64 of each.
        scale: Smallest and largest share of the area.
        generator: On the CPU.

    Returns:
        (n, 4) int64: top, left, height, width, in pixels.
    """
    sizes = torch.as_tensor(image_size, dtype=torch.int64).expand(n, 2)
    height, width = sizes[:, :1], sizes[:, 1:]
    draws = torch.rand(4, n, ATTEMPTS, generator=generator, dtype=torch.float64)
    area = height * width * (scale[0] + (scale[1] - scale[0]) * draws[0])
    low, high = math.log(RATIO[0]), math.log(RATIO[1])
    ratio = torch.exp(low + (high - low) * draws[1])
    w = (area * ratio).sqrt().round().long()
    h = (area / ratio).sqrt().round().long()
    fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
    # min: a float in [0, 1) times n can round up to n.
    top = torch.minimum((draws[2] * (height - h + 1)).long(), height - h)
    left = torch.minimum((draws[3] * (width - w + 1)).long(), width - w)
    first = fits.int().argmax(dim=1, keepdim=True)
    boxes = torch.stack([box.gather(1, first)[:, 0] for box in (top, left, h, w)], dim=1)
    return torch.where(fits.any(dim=1, keepdim=True), boxes, _central_boxes(sizes))


def _central_boxes(sizes: torch.Tensor) -> torch.Tensor:
    height, width = sizes.unbind(dim=1)
    ratio = width / height
    h = torch.where(ratio < RATIO[0], (width.double() / RATIO[0]).round().long(), height)
    w = torch.where(ratio > RATIO[1], (height.double() * RATIO[1]).round().long(), width)
    return torch.stack([(height - h) // 2, (width - w) // 2, h, w], dim=1)


def resized_crops(
    images: torch.Tensor,
    boxes: torch.Tensor,
    size: tuple[int, int],
    flip: torch.Tensor | None = None,
) -> torch.Tensor:
    """Cut a box out of every image and resize it, antialiased bilinear.

    Args:
        images: (B, 3, H, W), any real dtype.
        boxes: (B, 4) int64: top, left, height, width.
        size: Height and width of the result.
        flip: (B,) bool, which crops to mirror left-right; None: none.

    Returns:
        (B, 3, *size) float32.
    """
    top, left, h, w = boxes.to(images.device).float().unbind(dim=1)
    rows = _axis_weights(images.shape[2], size[0], top, h)
    columns = _axis_weights(images.shape[3], size[1], left, w)
    if flip is not None:
        columns = torch.where(flip.to(images.device)[:, None, None], columns.flip(1), columns)
    batch, channels, height, width = images.shape
    resized = images.float().reshape(batch, channels * height, width) @ columns.transpose(1, 2)
    return rows[:, None] @ resized.view(batch, channels, height, size[1])


def _axis_weights(n_in: int, n_out: int, start: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
    """Return (B, n_out, n_in): the share of every input pixel in every output pixel.

    Pixel i covers [i, i + 1). An output pixel is a triangle around its center with half-width
    max(step, 1), where step is its width in input pixels; pixels outside the box weigh nothing.
    """
    pixel = torch.arange(n_in, device=start.device, dtype=torch.float32) + 0.5
    out = torch.arange(n_out, device=start.device, dtype=torch.float32) + 0.5
    start, length = start[:, None, None], length[:, None, None]
    step = length / n_out
    distance = (pixel[None, None] - (start + step * out[None, :, None])).abs()
    weight = (1 - distance / step.clamp(min=1)).clamp(min=0)
    inside = (pixel > start) & (pixel < start + length)
    weight = weight * inside
    return weight / weight.sum(dim=2, keepdim=True)


class Augment:
    """The augmentation of a run: random crop or center crop, then a random flip.

    Args:
        settings: What is random.
        size: Height and width the model sees.
        generator: On the CPU, the only source of randomness.
    """

    def __init__(
        self, settings: Augmentation, size: tuple[int, int], generator: torch.Generator
    ) -> None:
        self._settings = settings
        self._size = size
        self._generator = generator

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Map (B, 3, H, W) uint8 to (B, 3, *size), values 0..255 (uint8 if nothing is resized).

        Raises:
            UserError: without random crops, if the images are smaller than `size`.
        """
        n, flip = len(images), None
        if self._settings.flip:
            flip = torch.rand(n, generator=self._generator) < 0.5
        if self._settings.crop_scale is None:
            cropped = center_crop(images, self._size)
            if flip is None:
                return cropped
            mirror = flip.to(images.device, non_blocking=True)
            return torch.where(mirror[:, None, None, None], cropped.flip(3), cropped)
        height, width = images.shape[-2:]
        boxes = random_boxes(n, (height, width), self._settings.crop_scale, self._generator)
        return resized_crops(images, boxes, self._size, flip)

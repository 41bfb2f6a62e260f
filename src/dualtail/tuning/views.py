"""Views of test images whose predictions are averaged: test-time ensembling."""

from collections.abc import Iterator
from typing import Literal

import torch

from dualtail.tuning.augmentation import random_boxes, resized_crops
from dualtail.tuning.pixels import center_crop

ViewKind = Literal["center", "five-crop", "ten-crop", "random"]

AREA = (0.08, 1.0)
"""Smallest and largest share of the area in a random view, as in training."""


class Views:
    """The views of a split's images.

    Args:
        kind: center: one; five-crop: the corners and the center; ten-crop: these of the mirrored
            image too; random: random resized crops, mirrored with probability one half.
        size: Height and width the model sees.
        n_random: Number of random views.
        seed: Of the random views.
    """

    def __init__(
        self, kind: ViewKind, size: tuple[int, int], n_random: int = 10, seed: int = 0
    ) -> None:
        self._kind: ViewKind = kind
        self._size = size
        self._n_random = n_random
        self._generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        counts = {"center": 1, "five-crop": 5, "ten-crop": 10, "random": self._n_random}
        return counts[self._kind]

    def of(self, images: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield every view of a batch (B, 3, H, W): (B, 3, *size), values 0..255.

        Raises:
            UserError: the images are smaller than `size` (random views are resized).
        """
        if self._kind == "random":
            for _ in range(self._n_random):
                n, height, width = len(images), *images.shape[-2:]
                boxes = random_boxes(n, (height, width), AREA, self._generator)
                flip = torch.rand(n, generator=self._generator) < 0.5
                yield resized_crops(images, boxes, self._size, flip)
            return
        if self._kind != "center":
            yield from self._corners(images)
        yield center_crop(images, self._size)
        if self._kind == "ten-crop":
            mirrored = images.flip(3)
            yield from self._corners(mirrored)
            yield center_crop(mirrored, self._size)

    def _corners(self, images: torch.Tensor) -> Iterator[torch.Tensor]:
        center_crop(images, self._size)  # complains about images that are too small
        height, width = self._size
        top, bottom = images[..., :height, :], images[..., images.shape[-2] - height :, :]
        for rows in (top, bottom):
            yield rows[..., :width]
            yield rows[..., rows.shape[-1] - width :]

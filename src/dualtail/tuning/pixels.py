"""Batches of pixels: where they come from, how they reach the device, crop and normalization."""

from collections.abc import Sequence
from typing import Protocol

import torch

from dualtail.errors import UserError


class ImageSource(Protocol):
    """Images of one split, all of one size, read in batches."""

    def __len__(self) -> int: ...

    def batch(self, index: torch.Tensor) -> torch.Tensor:
        """Return the images `index` (B,) int64 as uint8, (B, 3, H, W) or (B, H, W, 3)."""
        ...


def load_batch(images: ImageSource, index: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Read a batch and send it to the device, without waiting for the device.

    Returns:
        (B, 3, H, W) uint8 on `device`.

    Raises:
        ValueError: the source broke its contract.
    """
    pixels = images.batch(index)
    if pixels.dtype != torch.uint8 or pixels.ndim != 4 or len(pixels) != len(index):
        raise ValueError(
            f"image source returned {pixels.dtype} {tuple(pixels.shape)} for {len(index)} images"
        )
    if pixels.shape[1] != 3:
        if pixels.shape[3] != 3:
            raise ValueError(f"images need 3 channels, got {tuple(pixels.shape)}")
        pixels = pixels.permute(0, 3, 1, 2)
    if device.type == "cuda":
        return pixels.pin_memory().to(device, non_blocking=True)
    return pixels.to(device)


def center_crop(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Cut the middle `size` (height, width) out of (B, 3, H, W); nothing is resized.

    Raises:
        UserError: the images are smaller than `size`.
    """
    height, width = images.shape[-2:]
    if height < size[0] or width < size[1]:
        raise UserError(
            f"images are {height} x {width} pixels but the model needs {size[0]} x {size[1]}: "
            "pack the dataset at least at the model's resolution"
        )
    # Rounded as torchvision's CenterCrop does.
    top, left = round((height - size[0]) / 2), round((width - size[1]) / 2)
    return images[..., top : top + size[0], left : left + size[1]]


class Normalize:
    """(x / 255 - mean) / std for each channel, in float32.

    Args:
        mean, std: Three numbers on the scale 0..1.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], device: torch.device) -> None:
        center = torch.tensor(mean, dtype=torch.float32, device=device).view(1, 3, 1, 1)
        spread = torch.tensor(std, dtype=torch.float32, device=device).view(1, 3, 1, 1)
        self._factor = 1 / (255 * spread)
        self._shift = -center / spread

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Map (B, 3, H, W), uint8 or float in 0..255, to normalized float32."""
        pixels = images.float()
        # A second buffer of this size would cost more time than the arithmetic.
        out = None if pixels is images else pixels
        return torch.addcmul(self._shift, pixels, self._factor, out=out)

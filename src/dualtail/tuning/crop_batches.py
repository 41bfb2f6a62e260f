"""Random crops of images of many sizes, a batch at a time.

Boxes and flips are drawn for the whole batch. On the CPU each box is then resized by PyTorch's uint8
kernel, which is vectorized and touches only the box (rounded to whole gray levels, as in Pillow): at
224 pixels many times as fast as the matrix products of `augmentation`. A GPU gets the boxes as they
are, padded to the largest, and resizes the batch by those matrix products.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F

from dualtail.tuning.augmentation import random_boxes, resized_crops

AHEAD = 2
"""Batches that threads prepare while a GPU works on another; a CPU has nothing to spare for that."""


@runtime_checkable
class WholeImages(Protocol):
    """Images of one split, whole, each of its own size."""

    @property
    def sizes(self) -> np.ndarray:
        """(N, 2) int64: height and width."""
        ...

    def __len__(self) -> int: ...

    def image(self, row: int) -> torch.Tensor:
        """Return one image, (H, W, 3) uint8; called by several threads."""
        ...


def box_of(images: WholeImages, row: int, box: Sequence[int]) -> torch.Tensor:
    """Cut a box (top, left, height, width) out of one image: (h, w, 3), uint8."""
    top, left, height, width = box
    return images.image(row)[top : top + height, left : left + width]


def resize_boxes(
    images: WholeImages,
    rows: Sequence[int],
    boxes: Sequence[Sequence[int]],
    flip: Sequence[bool],
    out: torch.Tensor,
) -> None:
    """Cut a box out of each image and resize it, antialiased bilinear, into `out` (B, 3, *size)."""
    size = (out.shape[2], out.shape[3])
    for k, (row, box) in enumerate(zip(rows, boxes, strict=True)):
        # `view` makes it channels last beyond doubt: the kernel takes half the time then.
        pixels = box_of(images, row, box).contiguous().view(1, box[2], box[3], 3)
        pixels = pixels.permute(0, 3, 1, 2)
        resized = F.interpolate(pixels, size, mode="bilinear", antialias=True)
        out[k] = (resized.flip(3) if flip[k] else resized)[0]


def pad_boxes(
    images: WholeImages,
    rows: Sequence[int],
    boxes: Sequence[Sequence[int]],
    out: torch.Tensor,
) -> None:
    """Cut a box out of each image into the corner of `out` (B, H, W, 3)."""
    for k, (row, box) in enumerate(zip(rows, boxes, strict=True)):
        out[k, : box[2], : box[3]] = box_of(images, row, box)


class _Begun(NamedTuple):
    """A batch that threads are cutting."""

    pixels: torch.Tensor
    boxes: torch.Tensor
    flip: torch.Tensor
    parts: list[Future[None]]


class CropBatches:
    """The batches of a training run, cut from whole images.

    Args:
        images: What is cut.
        scale: Smallest and largest share of the area of a crop.
        flip: Whether crops are mirrored, with probability one half.
        size: Height and width the model sees.
        generator: On the CPU, the only source of randomness.
        device: Where batches are needed.
    """

    def __init__(
        self,
        images: WholeImages,
        scale: tuple[float, float],
        flip: bool,
        size: tuple[int, int],
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        self._images = images
        self._scale = scale
        self._flip = flip
        self._size = size
        self._generator = generator
        self._device = device
        self._on_gpu = device.type == "cuda"
        self._ahead = AHEAD if self._on_gpu else 0

    def __call__(self, batches: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Yield the crops of every batch of indices (B,), as (B, 3, *size) with values 0..255.

        They are uint8 from the CPU and float32 from a GPU. The generator decides them, not the number
        of threads (torch's).
        """
        threads = torch.get_num_threads()
        begun: deque[_Begun] = deque()
        with ThreadPoolExecutor(threads) as pool:
            for index in batches:
                begun.append(self._begin(pool, threads, index))
                if len(begun) > self._ahead:
                    yield self._finish(begun.popleft())
            while begun:
                yield self._finish(begun.popleft())

    def _begin(self, pool: ThreadPoolExecutor, threads: int, index: torch.Tensor) -> _Begun:
        n = len(index)
        flip = torch.zeros(n, dtype=torch.bool)
        if self._flip:
            flip = torch.rand(n, generator=self._generator) < 0.5
        sizes = torch.from_numpy(self._images.sizes[index.numpy()])
        boxes = random_boxes(n, sizes, self._scale, self._generator)
        rows, box_list, flips = index.tolist(), boxes.tolist(), flip.tolist()
        parts = [slice(k, None, threads) for k in range(min(threads, n))]
        if self._on_gpu:
            height, width = boxes[:, 2:].amax(dim=0).tolist()
            pixels = torch.empty((n, height, width, 3), dtype=torch.uint8, pin_memory=True)
            tasks = [
                pool.submit(pad_boxes, self._images, rows[p], box_list[p], pixels[p]) for p in parts
            ]
        else:
            pixels = torch.empty(
                (n, 3, *self._size), dtype=torch.uint8, memory_format=torch.channels_last
            )
            tasks = [
                pool.submit(resize_boxes, self._images, rows[p], box_list[p], flips[p], pixels[p])
                for p in parts
            ]
        return _Begun(pixels, boxes, flip, tasks)

    def _finish(self, batch: _Begun) -> torch.Tensor:
        for part in batch.parts:
            part.result()
        if not self._on_gpu:
            return batch.pixels
        pixels = batch.pixels.to(self._device, non_blocking=True)
        return resize_padded(pixels, batch.boxes, self._size, batch.flip)


def resize_padded(
    pixels: torch.Tensor, boxes: torch.Tensor, size: tuple[int, int], flip: torch.Tensor
) -> torch.Tensor:
    """Resize boxes that lie in the corner of (B, H, W, 3); what is beside them does not matter."""
    corner = boxes * torch.tensor([0, 0, 1, 1])
    return resized_crops(pixels.permute(0, 3, 1, 2), corner, size, flip)

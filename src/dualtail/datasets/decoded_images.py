"""Images decoded when they are asked for: one pass over a split, without a pack."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from dualtail.datasets.image_list import ImageList
from dualtail.datasets.images import ImageStore, check_files, decode_square


class DecodedImages:
    """Batches of central squares, decoded by threads; memory of one batch.

    Args:
        images: The list; every file is looked for at once.
        store: Where the files are; must stay open.
        side: Shorter side after resizing, in pixels.

    Raises:
        UserError: a missing file; while reading, a corrupt one.
    """

    def __init__(self, images: ImageList, store: ImageStore, side: int, threads: int = 1) -> None:
        check_files(images, store)
        self._n = len(images)
        self._threads = threads
        self._decode: Callable[[int], np.ndarray] = lambda row: decode_square(
            images, store, row, side
        )

    def __len__(self) -> int:
        return self._n

    def batch(self, index: torch.Tensor) -> torch.Tensor:
        """Return the images `index` (B,) as uint8 (B, S, S, 3)."""
        with ThreadPoolExecutor(self._threads) as pool:
            return torch.from_numpy(np.stack(list(pool.map(self._decode, index.tolist()))))

"""A pack as the training loop and inference read it."""

import numpy as np
import torch

from dualtail.datasets.pack import Pack


class PackedImages:
    """Batches of a memory-mapped pack, as uint8 tensors."""

    def __init__(self, pack: Pack) -> None:
        self._images = pack.images

    def __len__(self) -> int:
        return len(self._images)

    def batch(self, index: torch.Tensor) -> torch.Tensor:
        """Return the images `index` (B,) as uint8 (B, S, S, 3)."""
        return torch.from_numpy(np.ascontiguousarray(self._images[index.numpy()]))

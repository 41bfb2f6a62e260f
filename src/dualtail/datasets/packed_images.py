"""A pack as the training loop and inference read it."""

import numpy as np
import torch
from PIL import Image

from dualtail.datasets.images import square
from dualtail.datasets.pack import Pack
from dualtail.datasets.whole_pack import TrainingPack, WholePack


class PackedImages:
    """Batches of a memory-mapped pack, as uint8 tensors."""

    def __init__(self, pack: Pack) -> None:
        self._images = pack.images

    def __len__(self) -> int:
        return len(self._images)

    def batch(self, index: torch.Tensor) -> torch.Tensor:
        """Return the images `index` (B,) as uint8 (B, S, S, 3)."""
        return torch.from_numpy(np.ascontiguousarray(self._images[index.numpy()]))


def evaluation_images(pack: TrainingPack, side: int) -> "PackedImages | CentralSquares":
    """The central squares of a split, however it is packed.

    Args:
        pack: Squares or whole images, packed for `side`.
        side: Shorter side after resizing, in pixels.
    """
    return CentralSquares(pack, side) if isinstance(pack, WholePack) else PackedImages(pack)


def training_images(
    pack: TrainingPack, side: int, crops: bool
) -> "WholePack | PackedImages | CentralSquares":
    """The images that training reads: whole ones if they are packed and random crops are cut from them."""
    return pack if crops and isinstance(pack, WholePack) else evaluation_images(pack, side)


class CentralSquares:
    """Batches of central squares of a pack of whole images.

    The same as in a pack of squares if the pack is raw.

    Args:
        pack: Whole images, packed for `side`.
    """

    def __init__(self, pack: WholePack, side: int) -> None:
        self._pack = pack
        self._side = side

    def __len__(self) -> int:
        return len(self._pack)

    def batch(self, index: torch.Tensor) -> torch.Tensor:
        """Return the images `index` (B,) as uint8 (B, S, S, 3)."""
        images = [self._pack.image(row).contiguous().numpy() for row in index.tolist()]
        return torch.from_numpy(
            np.stack([square(Image.fromarray(image), self._side) for image in images])
        )

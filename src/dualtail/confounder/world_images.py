"""The two factors as the world draws them: a creature's head, or its body."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dualtail.confounder.sets import FactorClass
from dualtail.datasets.world.creatures import creatures
from dualtail.datasets.world.randomness import image_seeds
from dualtail.datasets.world.renderer import Renderer, Scene
from dualtail.datasets.world.settings import WorldSettings

PARTS = ("head", "body")
CHUNK = 512


class WorldImages:
    """Draws parts of creatures; the other part is hidden behind an occluder.

    Args:
        n_classes: Its first classes, so many (or all, if it has fewer).
        size: Side of the images in pixels; the same seeds look the same at any size.
    """

    def __init__(self, world: WorldSettings, n_classes: int, size: int) -> None:
        self._world = world
        self._creatures = creatures(world)
        self._renderer = Renderer(world, size)
        names = self._creatures.names[:n_classes]
        self.classes = [FactorClass(name, PARTS) for name in names]

    def images(self, split: str, label: int, factor: int, n: int) -> Iterator[NDArray[np.uint8]]:
        """Yield the first n images of a class and factor, in batches (B, S, S, 3)."""
        names = ("six classes", split, str(label), str(factor))
        seeds = image_seeds(self._world.seed, n, *names)
        for start in range(0, n, CHUNK):
            batch = seeds[start : start + CHUNK]
            b = len(batch)
            yield self._renderer.render(
                Scene(
                    head_codes=np.tile(self._creatures.head_codes[label], (b, 1)),
                    body_codes=np.tile(self._creatures.body_codes[label], (b, 1)),
                    head_visible=np.full(b, factor == 0),
                    body_visible=np.full(b, factor == 1),
                    blocks=np.zeros(b, dtype=bool),
                    seeds=batch,
                )
            )

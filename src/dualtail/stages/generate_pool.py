"""Stage generate-pool: draw the pool of a dataset of the world."""

from pathlib import Path

from dualtail.datasets.world.generate import generate_pool
from dualtail.datasets.world.settings import WorldSettings


def run(world: WorldSettings, dataset: str, out: Path) -> None:
    """Write pool.zip and pool.txt to the folder `out`."""
    generate_pool(world, dataset, out)

"""Stage generate-dataset: draw one downstream dataset of the world."""

from pathlib import Path

from dualtail.datasets.world.generate import generate_dataset
from dualtail.datasets.world.settings import WorldSettings


def run(world: WorldSettings, dataset: str, out: Path) -> None:
    """Write three splits, class names, truth and paired images to the folder `out`."""
    generate_dataset(world, dataset, out)

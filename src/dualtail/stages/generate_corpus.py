"""Stage generate-corpus: draw one upstream corpus of the world."""

from pathlib import Path

from dualtail.datasets.world.generate import generate_corpus
from dualtail.datasets.world.settings import WorldSettings


def run(world: WorldSettings, corpus: str, out: Path) -> None:
    """Write images.zip, list.txt, classnames.txt, truth.json and truth.csv to the folder `out`."""
    generate_corpus(world, corpus, out)

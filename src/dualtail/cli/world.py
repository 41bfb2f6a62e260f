"""Verbs that draw the embedded world: corpora, datasets and pools with known truth."""

from pathlib import Path

import click

from dualtail.cli.flags import options
from dualtail.cli.verb import OUT_FILE, OUT_FOLDER, verb
from dualtail.datasets.world.settings import WorldSettings

TO_FOLDER = click.option("--out", required=True, type=OUT_FOLDER, help="Folder to write to.")


@verb("generate-corpus")
@click.argument("corpus")
@TO_FOLDER
@options(WorldSettings)
def generate_corpus(world_settings: WorldSettings, corpus: str, out: Path) -> None:
    """Draw CORPUS of the embedded world: images with captions, to pre-train a model on.

    Its counts and what is visible are known: truth.json, truth.csv.

    Example: dualtail generate-corpus clip --corpus-size 3000 --out clip
    """
    from dualtail.stages.generate_corpus import run

    run(world_settings, corpus, out)


@verb("generate-dataset")
@click.argument("dataset")
@TO_FOLDER
@options(WorldSettings)
def generate_dataset(world_settings: WorldSettings, dataset: str, out: Path) -> None:
    """Draw DATASET of the embedded world: a long-tailed training split, balanced val and test.

    Some test images are also drawn with the head and with the body hidden (pairs.zip).

    Example: dualtail generate-dataset world_places --train-count-max 500 --out places
    """
    from dualtail.stages.generate_dataset import run

    run(world_settings, dataset, out)


@verb("generate-pool")
@click.argument("dataset")
@TO_FOLDER
@options(WorldSettings)
def generate_pool(world_settings: WorldSettings, dataset: str, out: Path) -> None:
    """Draw a large balanced training set of DATASET of the embedded world, to draw others from.

    Example: dualtail generate-pool world_places --pools world_places=260 --out places
    """
    from dualtail.stages.generate_pool import run

    run(world_settings, dataset, out)


@verb("draw-world")
@click.option("--out", required=True, type=OUT_FILE, help="PNG file.")
@options(WorldSettings)
def draw_world(world_settings: WorldSettings, out: Path) -> None:
    """Draw some creatures of the embedded world, enlarged for people to look at.

    Example: dualtail draw-world --out world.png
    """
    from dualtail.stages.draw_world import run

    run(world_settings, out)


VERBS: list[click.Command] = [generate_corpus, generate_dataset, generate_pool, draw_world]

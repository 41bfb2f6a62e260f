"""Verbs of the world: what is typed is what is drawn; unknown names are one line."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image

from dualtail.datasets.world.generate import generate_corpus, generate_dataset, generate_pool
from dualtail.datasets.world.settings import WorldSettings

Run = Callable[..., Result]
TINY = {
    "n_classes": 4,
    "corpora": {"clip": 0.5, "other": 1.0},
    "unbiased": {"fair": "other"},
    "corpus_size": 40,
    "datasets": {"places": "blocks"},
    "pools": {"places": 3},
    "train_count_max": 6,
    "train_count_min": 2,
    "val_per_class": 1,
    "test_per_class": 2,
    "pairs_per_class": 1,
    "min_classes_per_cell": 0,
    "visibility_downstream": (0.5, 0.25, 0.25),
}
FLAGS = [
    *["--n-classes", "4", "--corpora", "clip=0.5,other=1", "--unbiased", "fair=other"],
    *["--corpus-size", "40", "--datasets", "places=blocks", "--pools", "places=3"],
    *["--train-count-max", "6", "--train-count-min", "2", "--val-per-class", "1"],
    *["--test-per-class", "2", "--pairs-per-class", "1", "--min-classes-per-cell", "0"],
    *["--visibility-downstream", "[0.5, 0.25, 0.25]"],
]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("corpus", ["clip", "fair"])
def test_a_corpus(run: Run, corpus: str) -> None:
    run("generate-corpus", corpus, *FLAGS, "--out", "verb")
    generate_corpus(WorldSettings.model_validate(TINY), corpus, Path("function"))
    assert files(Path("verb")) == files(Path("function"))
    assert len(files(Path("verb"))) == 5


def test_a_dataset_and_its_pool(run: Run) -> None:
    world = WorldSettings.model_validate(TINY)
    for verb, function in (
        ("generate-dataset", generate_dataset),
        ("generate-pool", generate_pool),
    ):
        run(verb, "places", *FLAGS, "--out", "verb")
        function(world, "places", Path("function"))
    assert files(Path("verb")) == files(Path("function"))
    assert {"train.zip", "val.txt", "pairs.csv", "pool.txt"} <= set(files(Path("verb")))


def test_a_picture_says_what_it_shows(run: Run, root: Path) -> None:
    run("draw-world", *FLAGS, "--display-size", "16", "--out", "world.png")
    with Image.open("world.png") as picture:
        assert picture.size == (160, 80)
        title, caption = picture.info["Title"], picture.info["Description"]
    report = (root / "workflow/report/world.rst").read_text().split()
    assert report == f"**{title}.** {caption}".split()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["generate-corpus", "metaclip"],
            "'metaclip' is not one of them; known: clip, other, fair",
        ),
        (["generate-dataset", "clip"], "'clip' is not one of them; known: places"),
        (["generate-pool", "places", "--pools", "{}"], "split 'pool' of places: use one of"),
        (
            ["generate-corpus", "clip", "--corpora", "clip=2"],
            "--corpora: clip: Input should be less",
        ),
        (
            ["generate-corpus", "clip", "--corpus-size", "3"],
            "corpus_size must be at least n_classes",
        ),
        (["generate-corpus"], "Missing argument 'CORPUS'"),
    ],
)
def test_mistakes_are_one_line(run: Run, arguments: list[str], message: str) -> None:
    verb, *rest = arguments
    assert message in run(verb, *FLAGS, *rest, "--out", "out", fails=True).output
    assert not Path("out").exists()

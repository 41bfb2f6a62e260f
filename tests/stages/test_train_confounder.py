"""The six-class study end to end, tiny: the world's images, two networks, both test sets."""

from pathlib import Path

import pandas as pd
import pytest

from dualtail.confounder.sets import SETS
from dualtail.confounder.settings import ConfounderSettings
from dualtail.datasets.world.settings import WorldSettings
from dualtail.errors import UserError
from dualtail.outputs import read_outputs
from dualtail.scratch.settings import ScratchTraining
from dualtail.stages import draw_confounder, train_confounder
from dualtail.stages.train_confounder import ConfounderTask
from dualtail.tuning.settings import Augmentation

STUDY = ConfounderSettings(
    world_classes=3,
    image_size=16,
    train_per_class=10,
    test_per_class=20,
    samples=2,
    training=ScratchTraining(
        architecture="resnet20",
        width=4,
        epochs=2,
        batch_size=8,
        augmentation=Augmentation(crop_scale=None, flip=False),
    ),
)
WORLD = WorldSettings(n_classes=12)


def task(images: Path, train_set: str) -> ConfounderTask:
    return ConfounderTask(images, train_set, STUDY.image_size, STUDY.training, seed=0)


def run(task: ConfounderTask, out: Path) -> None:
    train_confounder.run(task, out / f"{task.train_set}.csv", out / f"{task.train_set}.safetensors")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    draw_confounder.run(STUDY, WORLD, 0, folder)
    return folder


def test_both_sets_are_trained_on_and_tested_on(images: Path, tmp_path: Path) -> None:
    for out in (tmp_path / "a", tmp_path / "b"):
        for train_set in SETS:
            run(task(images, train_set), out)
    for file in sorted((tmp_path / "a").iterdir()):
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
    for train_set in SETS:
        history = pd.read_csv(tmp_path / "a" / f"{train_set}.csv")
        assert list(history["epoch"]) == [1, 2]
        for test_set in SETS:
            found = read_outputs(tmp_path / "a" / f"{train_set}.safetensors", f"{test_set}_test")
            assert found.header.members == [f"resnet20.{train_set}"]
            assert found.header.dataset == "six_classes"
            assert found.n_images == 60
            accuracy = 100 * (found.logits.argmax(axis=1) == found.labels).mean()
            assert history[f"{test_set}_test"].iloc[-1] == pytest.approx(accuracy, abs=1e-5)


def test_neither_world_nor_stable_diffusion(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give --stable-diffusion, or --world"):
        draw_confounder.run(STUDY, None, 0, tmp_path)


def test_missing_images_are_named(images: Path, tmp_path: Path) -> None:
    for name in ("classnames.txt", "A_train.txt"):
        (tmp_path / name).write_bytes((images / name).read_bytes())
    with pytest.raises(UserError, match=r"images\.zip"):
        run(task(tmp_path, "A"), tmp_path / "out")

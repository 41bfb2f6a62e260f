"""Stable Diffusion by path, with a tiny pipeline of random weights."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dualtail.confounder.settings import ConfounderSettings, StableDiffusionSettings
from dualtail.confounder.stable_diffusion import StableDiffusionImages, image_seed, load_pipeline
from dualtail.datasets.image_list import read_image_list
from dualtail.datasets.images import ImageStore, decode_squares
from dualtail.errors import UserError
from dualtail.stages import draw_confounder

Settings = Callable[..., StableDiffusionSettings]


@pytest.fixture
def settings(tiny_pipeline: Path) -> Settings:
    def make(**changes: object) -> StableDiffusionSettings:
        values = {"model": tiny_pipeline, "size": 16, "steps": 2, "batch_size": 2} | changes
        return StableDiffusionSettings.model_validate(values)

    return make


def made(
    settings: StableDiffusionSettings, seed: int = 0, n: int = 3, label: int = 0
) -> np.ndarray:
    source = StableDiffusionImages(settings, seed)
    return np.concatenate(list(source.images("train", label, 0, n))).astype(int)


def test_an_image_follows_its_seed_and_prompt_alone(settings: Settings) -> None:
    first = made(settings())
    assert first.shape == (3, 16, 16, 3)
    assert first.std() > 1
    # Neither the batch nor the number of images matters (matrix products round by batch).
    np.testing.assert_allclose(made(settings(batch_size=3), n=2), first[:2], atol=2)
    assert np.abs(made(settings(), seed=1) - first).max() > 20
    other = settings(classes={"cat": ("head", "tail"), "zebra": ("head", "tail")})
    assert np.abs(made(other) - first).max() > 0
    assert (
        len(
            {
                image_seed(0, "train", label, f, k)
                for label in (0, 1)
                for f in (0, 1)
                for k in (0, 1)
            }
        )
        == 8
    )


def test_a_missing_extra_names_the_extra(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(UserError, match=r"needs the extra 'stable-diffusion'.*install dualtail\["):
        load_pipeline(settings())


def test_folders_that_hold_no_pipeline(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none is not a folder of a diffusers pipeline"):
        load_pipeline(settings(model=tmp_path / "none"))
    (tmp_path / "model_index.json").write_text("{")
    with pytest.raises(UserError, match="cannot be loaded as a Stable Diffusion pipeline"):
        load_pipeline(settings(model=tmp_path))


def test_pickled_weights_are_refused(
    settings: Settings, tiny_pipeline: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(tiny_pipeline, folder)
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(UserError, match="with safetensors weights"):
        load_pipeline(settings(model=folder))


def test_an_image_that_is_not_finite_is_refused(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = StableDiffusionImages(settings(), 0)

    class Broken:
        images = np.full((2, 16, 16, 3), np.nan)

    monkeypatch.setattr(source, "_pipeline", lambda *_, **__: Broken())
    with pytest.raises(UserError, match='not finite for "a photo of a airplane\'s head"'):
        list(source.images("train", 0, 0, 2))


def test_the_study_with_photographs(settings: Settings, tmp_path: Path) -> None:
    classes = {"cat": ("head", "body"), "truck": ("head", "tail")}
    study = ConfounderSettings(
        stable_diffusion=settings(classes=classes, steps=1, batch_size=16),
        image_size=8,
        train_per_class=10,
        test_per_class=10,
        samples=2,
    )
    draw_confounder.run(study, None, 0, tmp_path)
    images = read_image_list(tmp_path / "B_train.txt", 2)
    with ImageStore(tmp_path / "images.zip") as store:
        decoded = list(decode_squares(images, store, study.image_size))
    assert len(decoded) == 20
    assert decoded[0].shape == (8, 8, 3)
    assert (tmp_path / "classnames.txt").read_text() == "cat\ntruck\n"
    assert "truck,1,tail" in (tmp_path / "samples.csv").read_text()

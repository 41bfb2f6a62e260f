"""Explaining models from end to end: small random CLIPs, a tiny world, and a user's own images."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from dualtail.datasets.world.generate import generate_dataset
from dualtail.errors import UserError
from dualtail.explain.maps import read_maps
from dualtail.foundation.settings import Transform
from dualtail.foundation.spec import ARCHITECTURES, FoundationSpec
from dualtail.foundation.tower_file import load_image_model
from dualtail.outputs import read_outputs, splits_of, write_outputs
from dualtail.stages.explain_model import Predictor, run
from dualtail.stages.explained_images import ExplainedImages
from dualtail.stages.predict import find_images, predict_images, with_adapter
from dualtail.tuning.adapter_file import save_adapter
from dualtail.tuning.heads import build_head
from dualtail.tuning.peft import parse_peft_options
from dualtail.tuning.tuned_model import build_tuned_model

from .conftest import CONDITIONS, TINY_WORLD

Clip = Callable[..., Path]
ARCHITECTURE = json.loads((ARCHITECTURES / "world-vit-8.json").read_text())
NAMES = ["one", "two", "three", "four"]


class Study:
    """A zero-shot and a tuned model of random weights, and their dumps on a test split."""

    def __init__(self, folder: Path, weights: Path, transform: Transform, images: Path) -> None:
        self.folder = folder
        self.spec = FoundationSpec(
            member="clip",
            architecture="world-vit-8",
            architecture_config=ARCHITECTURE,
            weights=weights,
            transform=transform,
            templates=["a photo of a {}."],
        )
        self.adapter = folder / f"la-{weights.name}"
        self._tune()
        self.text = folder / "text.safetensors"
        data = find_images(images, folder / "test.txt", folder / "classnames.txt", "places", "test")
        for name, adapter in (("zero-shot", None), ("la", self.adapter)):
            outputs = predict_images(
                self.spec,
                data,
                precision="float32",
                threads=1,
                tuned=adapter and with_adapter(adapter),
                text_out=self.text,
            )
            write_outputs(folder / f"{name}-test.safetensors", outputs)

    def _tune(self) -> None:
        foundation, weights_hash = load_image_model(self.spec)
        generator = torch.Generator().manual_seed(3)
        options = parse_peft_options("adaptformer", {"bottleneck": 2})
        model = build_tuned_model(
            foundation.visual,
            build_head("cosine", torch.randn(4, 96, generator=generator), 25.0),
            peft="adaptformer",
            peft_options=options,
            precision="float32",
            seed=0,
        )
        record = {"weights_hash": weights_hash, "peft": "adaptformer", "loss": "la", "seed": 0}
        save_adapter(self.adapter, model, peft="adaptformer", peft_options=options, record=record)

    def predictor(self, name: str) -> Predictor:
        adapter = None if name == "zero-shot" else self.adapter
        reference = self.folder / f"{name}-test.safetensors"
        return Predictor(self.spec, adapter, None, None, reference, "float32")

    def explain(self, name: str, images: ExplainedImages) -> tuple[Path, Path]:
        out, maps = (self.folder / f"{name}{end}.safetensors" for end in ("", ".maps"))
        run(self.predictor(name), images, out, maps)
        return out, maps


@pytest.fixture(scope="module")
def world_run(
    world_clip: Clip, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Study, ExplainedImages]:
    folder = tmp_path_factory.mktemp("world")
    generate_dataset(TINY_WORLD, "world_places", folder)
    study = Study(folder, world_clip(), Transform(resize=32, crop=32), folder / "test.zip")
    images = ExplainedImages(folder / "pairs.zip", folder / "pairs.csv", True, 8, CONDITIONS)
    for name in ("zero-shot", "la"):
        study.explain(name, images)
    return study, images


@pytest.mark.parametrize("name", ["zero-shot", "la"])
def test_dumps_are_those_of_predict(world_run: tuple[Study, ExplainedImages], name: str) -> None:
    study, images = world_run
    table = pd.read_csv(study.folder / "pairs.csv")
    assert splits_of(study.folder / f"{name}.safetensors") == [f"occlusion-{c}" for c in CONDITIONS]
    for condition in CONDITIONS:
        rows = zip(table[f"path_{condition}"], table["label"], strict=True)
        listed = study.folder / "list.txt"
        listed.write_text("".join(f"{p} {y}\n" for p, y in rows))
        data = find_images(images.root, listed, study.folder / "classnames.txt", "places")
        adapter = study.predictor(name).adapter
        expected = predict_images(
            study.spec,
            data,
            precision="float32",
            threads=1,
            tuned=adapter and with_adapter(adapter),
        )
        split = f"occlusion-{condition}"
        found = read_outputs(study.folder / f"{name}.safetensors", split)
        np.testing.assert_array_equal(found.logits, expected.logits)
        assert found.header == expected.header.model_copy(update={"split": split})


def test_maps_are_of_images_spread_over_classes(world_run: tuple[Study, ExplainedImages]) -> None:
    study, _ = world_run
    labels = read_outputs(study.folder / "la.safetensors", "occlusion-both").labels
    found = read_maps(study.folder / "la.maps.safetensors")
    assert np.bincount(labels[found.rows]).tolist() == [2, 2, 2, 2]
    assert list(found.maps) == ["adaptformer-la-0"]
    assert found.maps["adaptformer-la-0"].shape == (8, 4, 4)
    assert not read_maps(study.folder / "zero-shot.maps.safetensors").maps


def test_text_features_from_their_file_change_nothing(
    world_run: tuple[Study, ExplainedImages], tmp_path: Path
) -> None:
    study, images = world_run
    given = replace(study.predictor("zero-shot"), text=study.text)
    run(given, images, tmp_path / "out", tmp_path / "maps")
    assert (tmp_path / "out").read_bytes() == (study.folder / "zero-shot.safetensors").read_bytes()


def test_a_users_own_images(world_clip: Clip, tmp_path: Path) -> None:
    """No table: test images alone, of many sizes."""
    rng = np.random.default_rng(0)
    for k in range(5):
        image = rng.integers(0, 256, (60, 50, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / f"{k}.png")
    (tmp_path / "test.txt").write_text("".join(f"{k}.png {k % 4}\n" for k in range(5)))
    (tmp_path / "classnames.txt").write_text("\n".join(NAMES))
    study = Study(tmp_path, world_clip(), Transform(resize=50, crop=32), tmp_path)
    images = ExplainedImages(tmp_path, tmp_path / "test.txt", is_table=False, most=4)
    out, maps = study.explain("la", images)
    found, reference = read_outputs(out), read_outputs(tmp_path / "la-test.safetensors")
    assert found.header.title == "clip tuned adaptformer la seed 0 on places/occlusion-visible"
    assert found.labels.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(found.logits, reference.logits[:4], atol=0.02)
    assert read_maps(maps).rows.tolist() == [0, 1, 2, 3]


def test_what_does_not_belong_together(
    world_clip: Clip, world_run: tuple[Study, ExplainedImages], tmp_path: Path
) -> None:
    study, images = world_run
    out, maps = tmp_path / "out", tmp_path / "maps"
    (tmp_path / "test.txt").write_text((study.folder / "test.txt").read_text())
    (tmp_path / "classnames.txt").write_text((study.folder / "classnames.txt").read_text())
    other = Study(tmp_path, world_clip(1), study.spec.transform, study.folder / "test.zip")
    with pytest.raises(UserError, match=r"tuned on weights .*; name the foundation model"):
        run(replace(study.predictor("la"), adapter=other.adapter), images, out, maps)
    with pytest.raises(UserError, match="tuned with peft 'adaptformer', not 'vpt-deep'"):
        run(replace(study.predictor("la"), peft="vpt-deep"), images, out, maps)
    with pytest.raises(UserError, match="text features of weights"):
        run(replace(study.predictor("zero-shot"), text=other.text), images, out, maps)
    small = study.spec.model_copy(update={"transform": Transform(resize=32, crop=24)})
    with pytest.raises(UserError, match="crop is 24, but world-vit-8 sees images of 32 x 32"):
        run(replace(study.predictor("la"), spec=small), images, out, maps)
    lost = replace(images, source=tmp_path / "none.csv")
    with pytest.raises(UserError, match=r"none\.csv: cannot be read"):
        run(study.predictor("la"), lost, out, maps)
    header = "path_both,path_body_hidden,path_head_hidden,label\n"
    (tmp_path / "pairs.csv").write_text(f"{header}x,x,x,0\n")
    with pytest.raises(UserError, match="x: not in"):
        run(study.predictor("la"), replace(images, source=tmp_path / "pairs.csv"), out, maps)
    assert not out.exists()

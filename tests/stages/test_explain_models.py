"""Explaining models from end to end: a small random CLIP, a tiny world, and a user's own images."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from dualtail.datasets.world.generate import generate_dataset, plan_pairs, render_plan
from dualtail.datasets.world.settings import WorldSettings
from dualtail.errors import UserError
from dualtail.explain.examples import Shown, read_examples
from dualtail.explain.maps import fuse_maps, heat, read_maps
from dualtail.foundation.loading import load_foundation
from dualtail.foundation.pretraining import build_model
from dualtail.foundation.settings import Transform
from dualtail.foundation.spec import ARCHITECTURES, FoundationSpec
from dualtail.jobs import (
    CombineFusion,
    ExplainedDataset,
    ExplainedImages,
    ExplainedModel,
    ExplainJob,
    ExplainTask,
    MappedTuning,
    ScoreExplanationsJob,
)
from dualtail.outputs import OutputsHeader, read_outputs, write_outputs
from dualtail.scores.schema import SCORES, read_frame
from dualtail.stages import explain_models, score_explanations
from dualtail.stages.predict import find_images, predict_images
from dualtail.tuning.adapter_file import save_adapter
from dualtail.tuning.heads import build_head
from dualtail.tuning.peft import parse_peft_options
from dualtail.tuning.tuned_model import build_tuned_model

ARCHITECTURE = json.loads((ARCHITECTURES / "world-vit-8.json").read_text())
NAMES = ["one", "two", "three", "four"]
WORLD = WorldSettings(
    n_classes=4,
    corpus_size=40,
    train_count_max=4,
    train_count_min=2,
    val_per_class=1,
    test_per_class=3,
    pairs_per_class=3,
    min_classes_per_cell=0,
    display_size=48,
)
CONDITIONS = {"both": "both", "body_hidden": "no body", "head_hidden": "no head"}
MEMBERS = ("clip", "openclip")


class Study:
    """Two tuned models with what the stages need of them."""

    def __init__(self, folder: Path, transform: Transform) -> None:
        self.folder, self.transform = folder, transform
        self.specs = {m: self._spec(m, seed) for seed, m in enumerate(MEMBERS)}
        for member in MEMBERS:
            self._tune(member)

    def _spec(self, member: str, seed: int) -> FoundationSpec:
        weights = self.folder / f"{member}.safetensors"
        model = build_model(ARCHITECTURE, seed)
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, weights)
        return FoundationSpec(
            member=member,
            architecture="world-vit-8",
            architecture_config=ARCHITECTURE,
            weights=weights,
            transform=self.transform,
            templates=["a photo of a {}."],
        )

    def adapter(self, member: str) -> Path:
        return self.folder / f"{member}-la.safetensors"

    def _tune(self, member: str) -> None:
        foundation, weights_hash = load_foundation(self.specs[member])
        generator = torch.Generator().manual_seed(3)
        options = parse_peft_options("adaptformer", {"bottleneck": 2})
        model = build_tuned_model(
            foundation.get_submodule("visual"),
            build_head("cosine", torch.randn(4, 96, generator=generator), 25.0),
            peft="adaptformer",
            peft_options=options,
            precision="float32",
            seed=0,
        )
        record = {"weights_hash": weights_hash, "peft": "adaptformer", "loss": "la", "seed": 0}
        save_adapter(
            self.adapter(member), model, peft="adaptformer", peft_options=options, record=record
        )

    def references(self, member: str, root: Path, images: Path, names: Path) -> dict[str, Path]:
        """Dumps on some split, from which headers are taken."""
        data = find_images(root, images, names, "world_places", "test")
        found = {}
        for variant, adapter in (("zero-shot", None), ("la", self.adapter(member))):
            outputs = predict_images(
                self.specs[member], data, precision="float32", threads=1, adapter=adapter
            )
            found[variant] = self.folder / f"{member}-{variant}-test.safetensors"
            write_outputs(found[variant], outputs)
        return found

    def job(self, images: ExplainedImages, references: dict[str, dict[str, Path]]) -> ExplainJob:
        return ExplainJob(
            tasks=[
                ExplainTask(
                    foundation=self.specs[member],
                    images=images,
                    models=[
                        ExplainedModel(
                            variant=variant,
                            adapter=None if variant == "zero-shot" else self.adapter(member),
                            method=None if variant == "zero-shot" else "adaptformer",
                            reference=reference,
                            outs={c: self.dump(member, variant, c) for c in images.conditions},
                        )
                        for variant, reference in references[member].items()
                    ],
                    precision="float32",
                    maps=self.folder / f"{member}.maps.safetensors",
                )
                for member in MEMBERS
            ]
        )

    def dump(self, member: str, variant: str, condition: str) -> Path:
        return self.folder / f"dumps/{member}/{variant}/{condition}.safetensors"

    def score_job(
        self, images: ExplainedImages, world: WorldSettings | None
    ) -> ScoreExplanationsJob:
        dataset = ExplainedDataset(
            images=images,
            transform=self.transform,
            world=world,
            singles={
                c: [self.dump(m, v, c) for m in MEMBERS for v in ("zero-shot", "la")]
                for c in images.conditions
            },
            fused={
                c: [
                    CombineFusion(
                        dumps=[self.dump(m, "la", c) for m in MEMBERS],
                        mode=mode,
                        method=mode,
                        options={},
                        weights=None,
                        out=self.dump("clip+openclip", f"la-{mode}", c),
                    )
                    for mode in ("logits", "probabilities")
                ]
                for c in images.conditions
            },
            tunings=[MappedTuning(variant="la", peft="adaptformer", loss="la", seed=0, fused=True)],
            maps={m: self.folder / f"{m}.maps.safetensors" for m in MEMBERS},
            examples=self.folder / "examples.safetensors",
        )
        return ScoreExplanationsJob(
            run="toy",
            bootstrap=20,
            seed=0,
            datasets=[dataset],
            out_scores=self.folder / "scores.parquet",
            out_shares=self.folder / "shares.csv",
        )


@pytest.fixture(scope="module")
def world_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, ExplainedImages]:
    folder = tmp_path_factory.mktemp("world")
    generate_dataset(WORLD, "world_places", folder)
    study = Study(folder, Transform(resize=32, crop=32))
    images = ExplainedImages(
        dataset="world_places",
        table=folder / "pairs.csv",
        images=folder / "pairs.zip",
        conditions=CONDITIONS,
        most=8,
    )
    references = {
        m: study.references(m, folder / "test.zip", folder / "test.txt", folder / "classnames.txt")
        for m in MEMBERS
    }
    explain_models.run(study.job(images, references), lanes=1)
    score_explanations.run(study.score_job(images, WORLD))
    return study, images


def test_dumps_are_those_of_predict(world_run: tuple[Study, ExplainedImages]) -> None:
    study, images = world_run
    table = pd.read_csv(study.folder / "pairs.csv")
    for condition in CONDITIONS:
        rows = zip(table[f"path_{condition}"], table["label"], strict=True)
        (study.folder / "list.txt").write_text("".join(f"{p} {y}\n" for p, y in rows))
        data = find_images(
            images.images,
            study.folder / "list.txt",
            study.folder / "classnames.txt",
            "world_places",
        )
        for variant, adapter in (("zero-shot", None), ("la", study.adapter("clip"))):
            expected = predict_images(
                study.specs["clip"], data, precision="float32", threads=1, adapter=adapter
            )
            found = read_outputs(study.dump("clip", variant, condition))
            # The other batch size changes the order of summation.
            np.testing.assert_allclose(
                found.logits.astype(float), expected.logits.astype(float), atol=0.02
            )
            wanted = expected.header.model_copy(update={"split": f"occlusion-{condition}"})
            assert found.header.model_dump(exclude={"models"}) == wanted.model_dump(
                exclude={"models"}
            )
            assert found.header.models[0].adapter_hash == wanted.models[0].adapter_hash


def test_maps_are_of_images_spread_over_classes(world_run: tuple[Study, ExplainedImages]) -> None:
    study, _ = world_run
    labels = read_outputs(study.dump("clip", "la", "both")).labels
    for member in MEMBERS:
        found = read_maps(study.folder / f"{member}.maps.safetensors")
        assert np.bincount(labels[found.rows]).tolist() == [2, 2, 2, 2]
        assert list(found.maps) == ["la"]
        assert found.maps["la"].shape == (8, 4, 4)


def test_scores_shares_and_examples(world_run: tuple[Study, ExplainedImages]) -> None:
    study, _ = world_run
    scores = read_frame(study.folder / "scores.parquet", SCORES)
    assert len(scores) == 3 * (2 * 2 + 2) * 2
    assert set(scores["split"]) == {f"occlusion-{c}" for c in CONDITIONS}
    shares = pd.read_csv(study.folder / "shares.csv", keep_default_na=False)
    assert shares["region"].tolist() == 3 * ["head", "body", "elsewhere"]
    assert shares["members"].tolist() == [m for m in (*MEMBERS, "clip+openclip") for _ in range(3)]
    examples = read_examples(study.folder / "examples.safetensors")
    assert examples.pictures.shape == (8, 3, 48, 48, 3)
    rows, plan = plan_pairs(WORLD, "world_places")
    first = int(np.flatnonzero([f"both/{r:06d}.png" == examples.header.images[0] for r in rows])[0])
    shown = plan.take(np.array([first])).show(False, True)
    np.testing.assert_array_equal(
        examples.pictures[0, 2], render_plan(WORLD, "world_places", shown, 48)[0]
    )
    fused = read_outputs(study.dump("clip+openclip", "la-logits", "head_hidden"))
    logits = fused.logits[first].astype(float)
    truth = np.exp(logits - logits.max())[fused.labels[first]] / np.exp(logits - logits.max()).sum()
    who = {"members": "clip+openclip", "fusion": "logits"}
    tuning = {"peft": "adaptformer", "loss": "la", "seed": 0}
    assert examples.confidence(**who, **tuning)[0, 2] == pytest.approx(truth, rel=1e-5)
    maps = [read_maps(study.folder / f"{m}.maps.safetensors") for m in MEMBERS]
    at = maps[0].rows.tolist().index(first)
    expected = heat(fuse_maps([m.maps["la"] for m in maps])[[at]], (48, 48))[0]
    np.testing.assert_allclose(examples.map_of(**who, **tuning)[0], expected, atol=1e-6)


def test_a_second_run_writes_equal_files(world_run: tuple[Study, ExplainedImages]) -> None:
    study, images = world_run
    files = ["scores.parquet", "shares.csv", "examples.safetensors"]
    before = [(study.folder / name).read_bytes() for name in files]
    score_explanations.run(study.score_job(images, WORLD))
    assert [(study.folder / name).read_bytes() for name in files] == before


def test_a_users_own_images(tmp_path: Path) -> None:
    """No table: test images alone; pictures are what the model sees, no regions are known."""
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 256, (60, 50, 3), dtype=np.uint8) for _ in range(5)]
    for k, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / f"{k}.png")
    (tmp_path / "test.txt").write_text("".join(f"{k}.png {k % 4}\n" for k in range(5)))
    (tmp_path / "classnames.txt").write_text("\n".join(NAMES))
    study = Study(tmp_path, Transform(resize=50, crop=32))
    images = ExplainedImages(
        dataset="world_places",
        list=tmp_path / "test.txt",
        images=tmp_path,
        conditions={"visible": "visible"},
        most=4,
    )
    references = {
        m: study.references(m, tmp_path, tmp_path / "test.txt", tmp_path / "classnames.txt")
        for m in MEMBERS
    }
    explain_models.run(study.job(images, references), lanes=1)
    score_explanations.run(study.score_job(images, None))
    found = read_outputs(study.dump("clip", "la", "visible"))
    reference = read_outputs(references["clip"]["la"])
    assert found.labels.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(found.logits, reference.logits[:4], atol=0.02)
    examples = read_examples(tmp_path / "examples.safetensors")
    assert not examples.is_occluded
    for k, name in enumerate(examples.header.images):
        expected = pixels[int(name[0])][14:46, 9:41]
        np.testing.assert_array_equal(examples.pictures[k, 0], expected)
    assert pd.read_csv(tmp_path / "shares.csv").empty
    assert examples.header.mapped[-1] == Shown(
        members="clip+openclip", peft="adaptformer", loss="la", seed=0, fusion="logits"
    )


def test_what_does_not_belong_together(
    world_run: tuple[Study, ExplainedImages], tmp_path: Path
) -> None:
    study, images = world_run
    reference = study.folder / "clip-la-test.safetensors"
    job = study.job(images, {m: {"la": reference} for m in MEMBERS})
    swapped = job.tasks[0].models[0].model_copy(update={"adapter": study.adapter("openclip")})
    task = job.tasks[0].model_copy(update={"models": [swapped]})
    with pytest.raises(UserError, match=r"tuned on weights .* tune again"):
        explain_models.run(ExplainJob(tasks=[task]), lanes=1)
    lost = images.model_copy(update={"table": tmp_path / "none.csv"})
    with pytest.raises(UserError, match=r"none\.csv: cannot be read"):
        explain_models.run(
            ExplainJob(tasks=[job.tasks[0].model_copy(update={"images": lost})]), lanes=1
        )
    (tmp_path / "pairs.csv").write_text(
        "path_both,path_body_hidden,path_head_hidden,label\nx,x,x,0\n"
    )
    gone = images.model_copy(update={"table": tmp_path / "pairs.csv"})
    with pytest.raises(UserError, match="x: not in"):
        explain_models.run(
            ExplainJob(tasks=[job.tasks[0].model_copy(update={"images": gone})]), lanes=1
        )


def test_headers_name_the_condition(world_run: tuple[Study, ExplainedImages]) -> None:
    study, _ = world_run
    header: OutputsHeader = read_outputs(study.dump("clip", "la", "both")).header
    assert header.title == "clip tuned adaptformer la seed 0 on world_places/occlusion-both"

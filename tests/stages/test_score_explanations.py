"""Scoring explained images from dumps and maps alone: a tiny world, and a user's own images."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dualtail.bias.combined_outputs import fuse_outputs
from dualtail.datasets.world.generate import generate_dataset, plan_pairs, render_plan
from dualtail.datasets.world.settings import WorldSettings
from dualtail.errors import UserError
from dualtail.explain.examples import Shown, read_examples
from dualtail.explain.maps import MemberMaps, fuse_maps, heat, write_maps
from dualtail.foundation.settings import Transform
from dualtail.outputs import Outputs, read_outputs, write_outputs
from dualtail.scores.schema import SCORES, read_frame
from dualtail.stages import score_explanations
from dualtail.stages.explained_images import ExplainedImages
from dualtail.stages.score_explanations import Explanations
from dualtail.study_table import Prediction, write_study

from .conftest import CONDITIONS, TINY_WORLD

Make = Callable[..., Outputs]

MEMBERS = ("clip", "openclip")
ROWS = np.array([0, 2, 3, 5, 7, 8, 9, 11])
"""Of twelve pairs, those with maps."""


class Explained:
    """Dumps and maps as a run has them: zero-shot, LA and their fusions, of two members."""

    def __init__(self, folder: Path, make: Make, conditions: list[str], n: int, rows: Any) -> None:
        self.folder = folder
        self.pattern = f"{folder}/explained/{{dataset}}/{{members}}/{{variant}}.safetensors"
        self.rows = rows
        self.study: list[Prediction] = []
        shared = {"dataset": "world_places", "explained": True}
        for variant, tuning in (("zero-shot", ("", "", None)), ("vpt-la-3", ("vpt", "la", 3))):
            kind = "tuned" if variant != "zero-shot" else variant
            peft, loss, seed = tuning
            found: dict[str, list[Outputs]] = {condition: [] for condition in conditions}
            for k, member in enumerate(MEMBERS):
                self._add(Prediction(kind, members=member, variant=variant, peft=peft, loss=loss,
                                     seed=seed, **shared))  # fmt: skip
                for c, condition in enumerate(conditions):
                    identity = {"kind": kind, "members": [member], "peft": peft, "loss": loss}
                    split = f"occlusion-{condition}"
                    dump = make(n=n, c=4, d=None, seed=10 * k + c, split=split, **identity)
                    header = dump.header.model_copy(
                        update={"seed": seed, "dataset": "world_places", "split_hash": condition}
                    )
                    found[condition].append(Outputs(header, *arrays(dump)))
                write_outputs(self.file(member, variant), *(d[k] for d in found.values()))
                if kind == "tuned":
                    maps = np.random.default_rng(k).normal(size=(len(rows), 4 + k, 4 + k))
                    maps = MemberMaps(rows, {variant: maps.astype(np.float32)})
                    write_maps(self.maps(member, variant), maps)
            for mode in ("logits", "probabilities"):
                self._add(Prediction("fused", members="clip+openclip", variant=f"{variant}-{mode}",
                                     peft=peft, loss=loss, seed=seed, fusion=mode, **shared))  # fmt: skip
                fused = [fuse_outputs(dumps, mode) for dumps in found.values()]
                write_outputs(self.file("clip+openclip", f"{variant}-{mode}"), *fused)
        more = Prediction("tuned", "world_places", "clip", "vpt-ce-0", "vpt", "ce", 0)
        write_study(folder / "study.csv", [*self.study, more])

    def _add(self, row: Prediction) -> None:
        self.study.append(row)

    def file(self, members: str, variant: str) -> Path:
        values = {"dataset": "world_places", "members": members, "variant": variant}
        return Path(self.pattern.format(**values))

    def maps(self, member: str, variant: str) -> Path:
        return self.file(member, variant).with_suffix(".maps.safetensors")

    def score(
        self,
        images: ExplainedImages,
        world: WorldSettings | None,
        transform: Transform = Transform(resize=32, crop=32),  # noqa: B008
    ) -> None:
        score_explanations.run(
            self.folder / "study.csv",
            self.pattern,
            Explanations("world_places", images, transform, world),
            "toy",
            20,
            0,
            self.folder / "scores.parquet",
            self.folder / "shares.csv",
            self.folder / "examples.safetensors",
        )


def arrays(dump: Outputs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return dump.logits, dump.labels, dump.image_index


@pytest.fixture
def world(tmp_path: Path, make_outputs: Make) -> tuple[Explained, ExplainedImages]:
    generate_dataset(TINY_WORLD, "world_places", tmp_path)
    images = ExplainedImages(tmp_path / "pairs.zip", tmp_path / "pairs.csv", True, 8, CONDITIONS)
    labels = pd.read_csv(tmp_path / "pairs.csv")["label"].to_numpy()

    def make(**options: Any) -> Outputs:
        dump = make_outputs(**options)
        return Outputs(dump.header, dump.logits, labels, dump.image_index)

    return Explained(tmp_path, make, list(CONDITIONS), len(labels), ROWS), images


def test_scores_are_of_every_explained_prediction_under_every_condition(
    world: tuple[Explained, ExplainedImages],
) -> None:
    explained, images = world
    explained.score(images, TINY_WORLD)
    scores = read_frame(explained.folder / "scores.parquet", SCORES)
    assert len(scores) == 3 * 8 * 2
    assert set(scores["split"]) == {f"occlusion-{c}" for c in CONDITIONS}
    assert set(scores["run"]) == {"toy"}
    dump = read_outputs(explained.file("openclip", "vpt-la-3"), "occlusion-head_hidden")
    right = dump.logits.argmax(1) == dump.labels
    by_class = [right[dump.labels == k].mean() for k in range(4)]
    row = scores.query(
        "kind == 'tuned' and members == 'openclip' and metric == 'accuracy' "
        "and split == 'occlusion-head_hidden'"
    )
    assert row["value"].item() == pytest.approx(100 * np.mean(by_class))


def test_shares_and_examples_of_a_world(world: tuple[Explained, ExplainedImages]) -> None:
    explained, images = world
    explained.score(images, TINY_WORLD)
    shares = pd.read_csv(explained.folder / "shares.csv", keep_default_na=False)
    assert shares["region"].tolist() == 3 * ["head", "body", "elsewhere"]
    assert shares["members"].tolist() == [m for m in (*MEMBERS, "clip+openclip") for _ in range(3)]
    np.testing.assert_allclose(shares.groupby("members")["share"].sum(), 100)
    assert set(shares["n_images"] + shares["n_empty"]) == {len(ROWS)}
    examples = read_examples(explained.folder / "examples.safetensors")
    assert examples.pictures.shape == (8, 3, 48, 48, 3)
    assert examples.header.conditions == CONDITIONS
    paths = pd.read_csv(explained.folder / "pairs.csv")["path_both"].tolist()
    first = paths.index(examples.header.images[0])
    assert {paths.index(path) for path in examples.header.images} == set(ROWS.tolist())
    shown = plan_pairs(TINY_WORLD, "world_places")[1].take(np.array([first])).show(False, True)
    np.testing.assert_array_equal(
        examples.pictures[0, 2], render_plan(TINY_WORLD, "world_places", shown, 48)[0]
    )
    who = {"members": "clip+openclip", "peft": "vpt", "loss": "la", "seed": 3, "fusion": "logits"}
    fused = read_outputs(
        explained.file("clip+openclip", "vpt-la-3-logits"), "occlusion-head_hidden"
    )
    odds = np.exp(fused.logits[first].astype(float))
    truth = odds[fused.labels[first]] / odds.sum()
    assert examples.confidence(**who)[0, 2] == pytest.approx(truth, rel=1e-5)
    at = explained.rows.tolist().index(first)
    maps = [np.random.default_rng(k).normal(size=(8, 4 + k, 4 + k)) for k in range(2)]
    expected = heat(fuse_maps([m.astype(np.float32) for m in maps])[[at]], (48, 48))[0]
    np.testing.assert_allclose(examples.map_of(**who)[0], expected, atol=1e-6)


def test_a_users_own_images(tmp_path: Path, make_outputs: Make) -> None:
    """No table: test images alone; pictures are what the model sees, no regions are known."""
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 256, (60, 50, 3), dtype=np.uint8) for _ in range(5)]
    for k, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / f"{k}.png")
    (tmp_path / "test.txt").write_text("".join(f"{k}.png {k % 4}\n" for k in range(5)))
    images = ExplainedImages(tmp_path, tmp_path / "test.txt", is_table=False, most=4)
    explained = Explained(tmp_path, make_outputs, ["visible"], 4, np.arange(4))
    explained.score(images, None, Transform(resize=50, crop=32))
    examples = read_examples(tmp_path / "examples.safetensors")
    assert not examples.is_occluded
    for k, name in enumerate(examples.header.images):
        expected = pixels[int(name[0])][14:46, 9:41]
        np.testing.assert_array_equal(examples.pictures[k, 0], expected)
    assert pd.read_csv(tmp_path / "shares.csv").empty
    assert examples.header.mapped[-1] == Shown(
        members="clip+openclip", peft="vpt", loss="la", seed=3, fusion="logits"
    )


def test_maps_of_members_are_fused_only_if_their_predictions_are(
    world: tuple[Explained, ExplainedImages],
) -> None:
    explained, images = world
    single = [row for row in explained.study if row.kind != "fused"]
    write_study(explained.folder / "study.csv", single)
    explained.score(images, TINY_WORLD)
    examples = read_examples(explained.folder / "examples.safetensors")
    assert [shown.members for shown in examples.header.mapped] == list(MEMBERS)


def test_what_does_not_belong_together(world: tuple[Explained, ExplainedImages]) -> None:
    explained, images = world
    path = explained.maps("openclip", "vpt-la-3")
    kept = path.read_bytes()
    maps = np.zeros((8, 4, 4), dtype=np.float32)
    write_maps(path, MemberMaps(ROWS, {"vpt-ce-0": maps}))
    with pytest.raises(UserError, match=r"no Grad-CAM maps of 'vpt-la-3'"):
        explained.score(images, TINY_WORLD)
    write_maps(path, MemberMaps(ROWS[::-1].copy(), {"vpt-la-3": maps}))
    with pytest.raises(UserError, match="maps of different images; explain again"):
        explained.score(images, TINY_WORLD)
    path.unlink()
    with pytest.raises(
        UserError, match=r"vpt-la-3\.maps\.safetensors: not a file of Grad-CAM maps"
    ):
        explained.score(images, TINY_WORLD)
    path.write_bytes(kept)
    other = ExplainedImages(images.root, images.source, True, 8, {"both": "b", "hidden": "h"})
    with pytest.raises(
        UserError, match="a world draws both, body_hidden, head_hidden, not 'hidden'"
    ):
        explained.score(other, TINY_WORLD)
    with pytest.raises(UserError, match=r"no split 'occlusion-hidden'; it has occlusion-both, "):
        explained.score(other, None)
    explained.file("clip+openclip", "zero-shot-logits").unlink()
    with pytest.raises(
        UserError, match=r"zero-shot-logits\.safetensors: no such file, but .*study"
    ):
        explained.score(images, TINY_WORLD)
    write_study(explained.folder / "study.csv", [explained.study[0]])
    with pytest.raises(UserError, match="no tuned model is explained"):
        explained.score(images, TINY_WORLD)

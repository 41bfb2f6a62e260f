"""A study of somebody's own, through real Snakemake: a loss, a PEFT method and a fusion rule from
files, and two datasets of which one has no val split.

Weights are random: what is tested is that everything is found, used and tracked.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from safetensors.numpy import load_file

from dualtail.cli.program import program
from dualtail.outputs import read_outputs, splits_of

pytestmark = pytest.mark.slow

Checkout = Any
"""conftest.Checkout"""

FILES = {
    "parts/shift.py": """
import torch
from torch import nn
from dualtail.config.section import Section
from dualtail.tuning.peft.method import PeftMethod


class ShiftOptions(Section):
    start: float = 0.0


class Shift(PeftMethod):
    Options = ShiftOptions

    def __init__(self, shape, n_classes, options, generator):
        super().__init__(shape, n_classes, options, generator)
        self.shift = nn.Parameter(torch.full((shape.width,), options.start))

    def attach(self, visual):
        visual.transformer.resblocks[0].ln_2.register_forward_hook(self.add)

    def add(self, module, args, output):
        return output + self.shift.to(output.dtype)
""",
    "parts/brier.py": """
from dualtail.tuning.losses.method import Loss


class Brier(Loss):
    needs_every_class = False
    mean_over_images = True

    def forward(self, logits, labels):
        p = logits.softmax(dim=1).gather(1, labels[:, None])
        return ((1 - p) ** 2).mean()
""",
    "parts/loudest.py": """
import numpy as np
from dualtail.bias.fusion_rules.method import FusionRule
from dualtail.config.section import Section


class Loudest(FusionRule):
    class Options(Section):
        factor: float

    def fuse(self, members, weights):
        weighted = [w * m for w, m in zip(weights, members)]
        return self.options.factor * np.max(weighted, axis=0)
""",
}

CONFIG = {
    "run": "own",
    "study": {
        "datasets": ["world_objects", "world_places"],
        "members": ["clip", "openclip"],
        "pefts": ["shift"],
        "losses": ["ce", "la", "brier"],
        "seeds": [0],
        "variants": [],
    },
    "datasets": {
        "world_places": {"val": None, "prior_split": "test", "reordered": None},
    },
    "scratch": None,
    "confounder": None,
    "pefts": {
        "shift": {"label": "Shift", "method": "parts/shift.py:Shift", "options": {"start": 0.25}}
    },
    "losses": {"brier": {"method": "parts/brier.py:Brier"}},
    "fusion": {
        "rules": {
            "loudest": {
                "method": "parts/loudest.py:Loudest",
                "options": {"factor": 2},
                "weights": {"clip": 3, "openclip": 1},
            }
        },
        "modes": ["logits", "probabilities", "loudest"],
        "losses": ["la", "brier"],
    },
    "tuning": {"epochs": 1},
    "prior": {"bootstrap": 5},
    "scores": {"bootstrap": 5},
    "world": {
        "folder": "data/own",
        "n_classes": 12,
        "train_count_max": 120,
        "val_per_class": 4,
        "test_per_class": 6,
        "pairs_per_class": 1,
        "min_classes_per_cell": 0,
    },
}
AFTER = {
    "score",
    "score_explanations",
    "collect_scores",
    "tables",
    "figures",
    "summary",
    "compare",
    "report",
    "study_fusion",
    "study_interventions",
    "study_frontier",
    "fuse_explained",
}


@pytest.fixture(scope="module")
def finished(
    make_checkout: Callable[..., Checkout],
    random_weights: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Checkout:
    """A checkout with the whole run in it."""
    folder = tmp_path_factory.mktemp("own") / "checkout"
    checkout = make_checkout(folder, "own.yaml", "own")
    (folder / "parts").mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    members = {
        name: {"weights": {"corpus": None, "path": str(path)}}
        for name, path in random_weights.items()
    }
    members["openclip"]["transform"] = None
    (folder / "own.yaml").write_text(yaml.safe_dump(CONFIG | {"foundation": members}))
    checkout.run()
    return checkout


def dump(checkout: Checkout, members: str, variant: str) -> Any:
    return read_outputs(checkout.results / f"outputs/world_places/{members}/{variant}.safetensors")


def test_all_three_were_used(finished: Checkout) -> None:
    adapter = load_file(finished.results / "adapters/world_places/clip/shift-brier-0.safetensors")
    (shift,) = (tensor for name, tensor in adapter.items() if "shift" in name)
    assert shift.shape == (96,)
    assert (shift != 0.25).any(), "trained ..."
    assert np.abs(shift - 0.25).max() < 0.2, "... from where the options say"

    singles = [dump(finished, m, "shift-brier-0") for m in ("clip", "openclip")]
    assert [d.header.loss for d in singles] == ["brier", "brier"]
    fused = dump(finished, "clip+openclip", "shift-brier-0-loudest")
    assert (fused.header.fusion, fused.header.weights) == ("loudest", [0.75, 0.25])
    a, b = (d.logits.astype(float) for d in singles)
    np.testing.assert_allclose(fused.logits, 2 * np.maximum(0.75 * a, 0.25 * b), rtol=2e-3)

    scores = pd.read_csv(finished.results / "scores.csv", keep_default_na=False)
    chosen = scores[(scores["fusion"] == "loudest") & (scores["metric"] == "accuracy")]
    chosen = chosen[chosen["split"] == "test"]
    assert set(chosen["loss"]) == {"brier", "la", ""}  # zero-shot models are fused too
    chosen = chosen[(chosen["dataset"] == "world_places") & (chosen["scheme"] == "all")]
    overall = chosen[chosen["loss"] == "brier"]["value"]
    right = fused.logits.argmax(axis=1) == fused.labels
    assert float(overall.item()) == pytest.approx(100 * right.mean())


def test_a_model_without_a_transform_sees_what_it_sees_by_hand(
    finished: Checkout, random_weights: dict[str, Path]
) -> None:
    objects = finished.folder / "data/own/world_objects"
    listed = ["--images", objects / "test.zip", "--list", objects / "test.txt"]
    run_verb(
        *["predict", "--model", f"world-vit-8,{random_weights['openclip']}", *listed],
        *[
            "--class-names",
            objects / "classnames.txt",
            "--out",
            finished.folder / "hand.safetensors",
        ],
    )
    by_hand = read_outputs(finished.folder / "hand.safetensors")
    run = finished.results / "outputs/world_objects/openclip/zero-shot.safetensors"
    of_run = read_outputs(run, "test")
    assert by_hand.header.models[0].transform == "resize 36, crop 32"
    assert of_run.header.models[0].transform == "resize 36, crop 32"
    # Batches of another size: the last bit of half precision may differ.
    np.testing.assert_allclose(by_hand.logits, of_run.logits, rtol=2e-3, atol=2e-3)
    np.testing.assert_array_equal(by_hand.predicted, of_run.predicted)
    assert "OpenCLIP: resize 36, crop 32" in (finished.results / "index.html").read_text()


def run_verb(*arguments: str | Path) -> None:
    result = CliRunner().invoke(program, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output


def test_a_dataset_without_val_stands_beside_one_with_it(finished: Checkout) -> None:
    folder = finished.results / "outputs"
    found = {
        dataset: {path.relative_to(folder / dataset).as_posix(): splits_of(path) for path in paths}
        for dataset in ("world_objects", "world_places")
        if (paths := sorted((folder / dataset).rglob("*.safetensors")))
    }
    on_objects, on_places = found["world_objects"], found["world_places"]
    # Per member: zero-shot, three tunings, four adjustments; fused: 3 kinds of singles, 3 modes.
    assert len(on_places) == 2 * 8 + 3 * 3
    assert {*map(tuple, on_places.values())} == {("test",)}
    neighbors = on_objects.keys() - on_places.keys()
    assert neighbors == {
        f"clip/{variant}-knn.safetensors" for variant in ("zero-shot", "shift-ce-0", "shift-la-0")
    }
    assert {*map(tuple, (on_objects[name] for name in on_places))} == {("val", "test")}

    scores = pd.read_csv(finished.results / "scores.csv", keep_default_na=False)
    metrics = {d: set(part["metric"]) for d, part in scores.groupby("dataset")}
    # Temperature and the bank of kNN are fitted on val.
    missing = metrics["world_objects"] - metrics["world_places"]
    assert metrics["world_places"] < metrics["world_objects"]
    assert "accuracy" not in missing
    assert "ece_calibrated" in missing
    priors = scores[scores["kind"] == "prior"]
    assert {d: set(part["split"]) for d, part in priors.groupby("dataset")} == {
        "world_objects": {"val"},
        "world_places": {"test"},
    }
    for number in (1, 2, 3, 8, 9, 10, 14):
        table = (finished.results / f"tables/table_{number:02d}.md").read_text()
        assert "World-Places" in table or number in (9, 10), number
    assert "World-Places" in (finished.results / "summary.md").read_text()
    assert "Nothing to be done" in finished.run("-n")


def test_cifar100_is_planned_without_its_images(finished: Checkout) -> None:
    finished.command[4], own = "config/cifar100.yaml", finished.command[4]
    try:
        planned = finished.planned()
    finally:
        finished.command[4] = own
    assert {"make_lists", "pack", "tune", "fuse", "zero_shot", "prior"} <= planned
    assert "pretrain" not in planned


@pytest.fixture
def undone(finished: Checkout) -> Iterator[Checkout]:
    yield finished
    for name, text in FILES.items():
        (finished.folder / name).write_text(text)


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        (
            "parts/brier.py",
            "** 2",
            "** 3",
            {"tune", "explain", "fuse", "study_fusion_weights"} | AFTER,
        ),
        (
            "parts/shift.py",
            "output + self",
            "output - self",
            {"tune", "explain", "fuse", "adjust", "knn", "study_fusion_weights"} | AFTER,
        ),
        ("parts/loudest.py", "np.max", "np.min", {"fuse"} | AFTER),
        ("parts/loudest.py", "import numpy", "# louder\nimport numpy", set()),
    ],
    ids=["loss", "peft", "fusion-rule", "comment"],
)
def test_a_change_re_runs_what_uses_the_file(
    undone: Checkout, name: str, old: str, new: str, expected: set[str]
) -> None:
    undone.edit(name, old, new)
    assert undone.planned() == expected

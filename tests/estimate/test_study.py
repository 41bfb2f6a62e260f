"""The estimate of a study, against sums by hand and files that are really written."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from dualtail.config.document import read_config, validate_config
from dualtail.datasets.image_list import write_image_list
from dualtail.errors import UserError
from dualtail.estimate.rates import given_rates, measured_rates
from dualtail.estimate.study import Estimator, StageEstimate, estimate_study
from dualtail.outputs import Outputs, write_outputs
from dualtail.plan import Plan

RATES = given_rates("train=100,infer=400,decode=50")


@pytest.fixture(scope="module")
def paper(root: Path) -> Plan:
    return Plan(read_config([root / "config.yaml", root / "config/paper.yaml"]))


@pytest.fixture(scope="module")
def stages(paper: Plan) -> dict[tuple[str, str], StageEstimate]:
    return {(s.stage, s.datasets): s for s in estimate_study(paper, RATES)}


def test_passes_and_hours_of_the_paper(stages: dict[tuple[str, str], StageEstimate]) -> None:
    """3 models x 2 PEFTs x 2 losses; 10, 10 and 20 epochs; iNaturalist has no val split.

    Besides, of CLIP alone: GLA-Train's first stage, and two re-trained heads, whose training sends no
    gradient through the backbone.
    """
    tune = stages["tune", "imagenet_lt"]
    assert tune.jobs == 12 + 3
    assert tune.training == 13 * 10 * 115_846
    assert tune.forward == 15 * (20_000 + 50_000) + 2 * 10 * 115_846
    assert tune.hours == pytest.approx((tune.training / 100 + tune.forward / 400) / 3600)
    assert stages["tune", "places365_lt"].training == 13 * 10 * 62_500
    assert stages["tune", "inat2018"].training == 13 * 20 * 437_513
    assert stages["tune", "inat2018"].forward == 15 * 24_426 + 2 * 20 * 437_513
    zero_shot = stages["zero-shot", "all"]
    assert (zero_shot.jobs, zero_shot.forward) == (3, 3 * (70_000 + 43_800 + 24_426))
    pack = stages["pack", "inat2018"]
    assert pack.images == 437_513 + 24_426
    assert pack.hours == pytest.approx(pack.images / 50 / 3600)


def test_dumps_have_the_size_that_is_estimated(
    make_outputs: Callable[..., Outputs], tmp_path: Path
) -> None:
    for width in (None, 768):
        outputs = make_outputs(n=500, c=365, d=width)
        write_outputs(tmp_path / "dump.safetensors", outputs)
        header = 3_000 + sum(len(name) for name in outputs.header.class_names) * 2
        size = (tmp_path / "dump.safetensors").stat().st_size
        estimated = 500 * Estimator.row_bytes(365, width or 0)
        assert 0 <= size - estimated < header + 365 * 8


def test_disk_of_dumps_and_adapters_of_the_paper(
    stages: dict[tuple[str, str], StageEstimate],
) -> None:
    n, c, d = 24_426, 8_142, 768
    row = 2 * c + 16
    adapters = 9 * 4 * (4_749_324 + c * d) + 6 * 4 * (12 * 10 * d + c * d)
    assert stages["tune", "inat2018"].disk_gb == pytest.approx(
        (15 * n * (row + 2 * d) + adapters) / 1e9
    )
    # three adjusted dumps of each CE model; four sets of members, LA of two PEFTs and zero-shot, two modes
    combined = 3 * 3 * 2 + 4 * 3 * 2
    assert stages["combine", "inat2018"].disk_gb == pytest.approx(combined * n * row / 1e9)


def test_hours_without_a_rate_are_unknown(paper: Plan) -> None:
    for stage in estimate_study(paper, given_rates("infer=10")):
        if stage.stage in ("tune", "pack"):
            assert stage.hours is None
            assert stage.basis == "no rate known"
        assert stage.forward is not None


def test_shipped_rates_say_which_hours_are_scaled(paper: Plan) -> None:
    for stage in estimate_study(paper, measured_rates()):
        if stage.stage == "tune":
            assert stage.hours is not None
            assert stage.memory_gib is not None
            scaled = stage.basis.startswith("scaled by operations")
            assert scaled or stage.basis == "measured"
            if stage.datasets == "inat2018":  # its adapters are eight times as wide
                assert scaled


def test_the_world_is_known_without_being_drawn(root: Path) -> None:
    plan = Plan(read_config([root / "config.yaml", root / "config/smoke.yaml"]))
    world = plan.config.world
    assert world is not None
    stages = {(s.stage, s.datasets): s for s in estimate_study(plan, RATES)}
    tune = next(s for (stage, _), s in stages.items() if stage == "tune")
    images = world.n_classes * (world.val_per_class + world.test_per_class)
    n = len(plan.scope.members) * len(plan.scope.tunings)
    assert tune.forward == n * images
    assert tune.training is not None
    assert tune.training > 0
    assert ("pre-train", "all") in stages


def test_lists_on_disk_are_counted_and_missing_ones_are_unknown(root: Path, tmp_path: Path) -> None:
    values = yaml.safe_load((root / "config.yaml").read_text())
    values |= {"world": None, "prior": {"split": "test"}, "scratch": None, "studies": {}}
    values["study"] |= {"datasets": ["mine"], "seeds": [0]}
    values["datasets"] = {"mine": {"label": "Mine", "root": str(tmp_path), "val": None}}
    values["transforms"]["world"] |= {"views": "random", "random_views": 7}
    for member in values["foundation"].values():
        member["weights"] = {"path": "weights.safetensors"}
    plan = Plan(validate_config(values))
    for stage in estimate_study(plan, RATES):
        if stage.stage in ("pack", "tune", "zero-shot", "combine"):
            assert stage.hours is stage.disk_gb is None
            assert stage.basis == "number of images not known"
    for split, n in (("train", 30), ("test", 8)):
        labels = np.arange(n) % 4
        write_image_list(tmp_path / f"{split}.txt", [f"{i}.jpg" for i in range(n)], labels)
    stages = {s.stage: s for s in estimate_study(plan, RATES)}
    assert stages["pack"].images == 38
    assert stages["zero-shot"].forward == 3 * 8 * 7
    assert stages["tune"].training == 3 * 4 * 30 * values["tuning"]["epochs"]
    (tmp_path / "test.txt").write_text("no label\n")
    with pytest.raises(UserError, match=r"test\.txt line 1"):
        estimate_study(plan, RATES)


@pytest.mark.parametrize(
    ("level", "jobs"), [("all", 2), ("dataset", 4), ("model", 10), ("tuning", 45)]
)
def test_processes_are_cut_as_the_config_says(root: Path, level: str, jobs: int) -> None:
    config = read_config([root / "config.yaml", root / "config/paper.yaml"])
    cut = config.model_copy(update={"jobs": config.jobs.model_copy(update={"tune": level})})
    stages = estimate_study(Plan(cut), RATES)
    assert sum(s.jobs for s in stages if s.stage.startswith("tune")) == jobs
    assert sum(s.training or 0 for s in stages) == 10 * 13 * (115_846 + 62_500 + 2 * 437_513)

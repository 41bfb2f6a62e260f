"""The estimate of a study, against sums by hand and numbers of the world's own drawing."""

import math
from pathlib import Path

import pytest
from click.testing import CliRunner

from dualtail.cli.settings import plan_verb
from dualtail.config.document import read_config
from dualtail.config.model import Config
from dualtail.errors import UserError
from dualtail.plan_cost import (
    Stage,
    as_text,
    given_speeds,
    measured_speeds,
    sizes_of,
    stages,
)

SPEEDS = {"train": 100.0, "infer": 400.0}


@pytest.fixture(scope="module")
def paper(root: Path) -> Config:
    return read_config([root / "config.yaml", root / "config/paper.yaml"])


@pytest.fixture(scope="module")
def smoke(root: Path) -> Config:
    return read_config([root / "config.yaml", root / "config/smoke.yaml"])


def by_place(config: Config) -> dict[tuple[str, str], Stage]:
    return {(stage.name, stage.dataset): stage for stage in stages(config)}


def test_passes_and_hours_of_the_paper(paper: Config) -> None:
    """3 models x 2 PEFTs x 2 losses; 10, 10 and 20 epochs; iNaturalist has no val split.

    Besides, of CLIP alone: GLA-Train's first stage, and two re-trained heads, whose training sends no
    gradient through the backbone; but on iNaturalist a student and its control, and what its teachers say.
    """
    found = by_place(paper)
    tune = found["tune", "imagenet_lt"]
    assert tune.jobs == 12 + 3 + 2
    assert tune.trained == 15 * 10 * 115_846
    assert tune.predicted == 17 * (20_000 + 50_000) + 2 * 10 * 115_846
    expected = (tune.trained / 100 + tune.predicted / 400) / 3600
    assert tune.hours(SPEEDS) == pytest.approx(expected)
    assert found["tune", "places365_lt"].trained == 15 * 10 * 62_500
    assert found["tune", "inat2018"].trained == 13 * 20 * 437_513
    assert found["tune", "inat2018"].predicted == 15 * 24_426 + 2 * 20 * 437_513
    teach = found["teach", "imagenet_lt"]
    assert (teach.jobs, teach.trained, teach.predicted) == (3, 0, 3 * 115_846)
    assert ("teach", "inat2018") not in found
    assert found["zero_shot", "imagenet_lt"].predicted == 3 * 70_000
    assert found["zero_shot", "inat2018"].predicted == 3 * 24_426
    assert found["pack", "inat2018"].jobs == 2
    scratch = found["train_scratch", "imagenet_lt"]
    assert (scratch.trained, scratch.predicted) == (90 * 115_846, 70_000)


def test_what_the_world_draws(smoke: Config, tmp_path: Path) -> None:
    from dualtail.datasets.image_list import read_image_list
    from dualtail.stages import generate_dataset

    sizes = sizes_of(smoke, "world_places")
    assert smoke.world is not None
    generate_dataset.run(smoke.world.of_dataset("world_places"), "world_places", tmp_path)
    drawn = {split: len(read_image_list(tmp_path / f"{split}.txt")) for split in sizes}
    assert sizes == drawn
    found = by_place(smoke)
    reordered = found["tune", "world_places, re-ordered"]
    assert (reordered.jobs, reordered.trained) == (3, 3 * 2 * sizes["train"])
    assert math.isnan(found["pretrain", ""].trained)


def test_more_views_of_an_image_are_more_passes(smoke: Config) -> None:
    before = by_place(smoke)["zero_shot", "world_places"].predicted
    values = smoke.model_dump(mode="json")
    for transform in values["transforms"].values():
        transform["views"] = "ten-crop"
    many = by_place(Config.model_validate(values))["zero_shot", "world_places"]
    assert many.predicted == 10 * before


def test_q_from_the_training_split_needs_its_outputs(smoke: Config) -> None:
    sizes = sizes_of(smoke, "world_places")
    values = smoke.model_dump(mode="json")
    values["datasets"]["world_places"]["prior_split"] = "train"
    found = by_place(Config.model_validate(values))["zero_shot", "world_places"]
    assert found.predicted == 2 * sum(sizes.values())


def test_lists_on_the_disk_and_none(paper: Config, tmp_path: Path) -> None:
    values = paper.model_dump(mode="json")
    values["datasets"]["imagenet_lt"] |= {"official": "", "root": str(tmp_path)}
    (tmp_path / "ImageNet_LT_train.txt").write_text("a.jpg 0\nb.jpg 1\nc.jpg 1\n")
    sizes = sizes_of(Config.model_validate(values), "imagenet_lt")
    assert sizes["train"] == 3
    assert math.isnan(sizes["val"])
    text = as_text(stages(Config.model_validate(values)), SPEEDS)
    row = next(line for line in text.splitlines() if line.startswith("tune") and "imagenet" in line)
    assert row.split()[2:] == ["17", "450", "?", "?"], "15 tunings of 10 epochs"


def test_speeds_of_a_finished_run_are_medians_over_its_tunings(tmp_path: Path) -> None:
    file = tmp_path / "costs.csv"
    rows = [("training_images_per_second", v) for v in (1, 2, 30)]
    rows += [("images_per_second", v) for v in (5, 6)] + [("gflops", 99)]
    file.write_text("metric,value\n" + "".join(f"{name},{value}\n" for name, value in rows))
    assert measured_speeds(file) == {"train": 2, "infer": 5.5}


@pytest.mark.parametrize("text", ["", "metric,value\n", "metric,value\ngflops,1\n", "a,b\n1,2\n"])
def test_what_is_no_costs_csv(tmp_path: Path, text: str) -> None:
    (tmp_path / "costs.csv").write_text(text)
    with pytest.raises(UserError, match=r"costs\.csv of a run that tuned models"):
        measured_speeds(tmp_path / "costs.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tarin=5", "no 'tarin'.*train"),
        ("train=0", "must be a positive number"),
        ("train=fast", "must be a positive number"),
        ("train=inf", "must be a positive number"),
        ("train=nan", "must be a positive number"),
    ],
)
def test_speeds_that_make_no_sense(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        given_speeds(text)


def test_the_verb(root: Path, paper: Config) -> None:
    files = [str(root / "config.yaml"), str(root / "config/paper.yaml")]
    speed = ["--images-per-second", "train=100,infer=400"]
    result = CliRunner().invoke(plan_verb, [*files, *speed, "--gpus", "8"])
    assert result.exit_code == 0, result.output
    hours = sum(h for s in stages(paper) if not math.isnan(h := s.hours(SPEEDS)))
    assert f"on 8: {hours / 8:,.2f} hours or more" in result.output
    assert f"{hours:,.2f}" in result.output.splitlines()[-2]
    for wrong in (["--gpus", "8"], [*speed, "--costs", "x"]):
        assert CliRunner().invoke(plan_verb, [*files, *wrong]).exit_code == 2

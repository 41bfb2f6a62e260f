"""Which tables and figures a study can fill, and what is said of the others."""

from typing import Any

import pytest
import yaml

from dualtail.config.document import validate_config
from dualtail.paper.contents import FIGURES, TABLES, fillable, left_out

ALL = (list(TABLES), list(FIGURES))


@pytest.fixture
def values(root) -> dict[str, Any]:
    return yaml.safe_load((root / "config.yaml").read_text())


def test_the_default_study_fills_all(values):
    config = validate_config(values)
    assert (fillable(config), left_out(config)) == (ALL, [])
    assert (list(range(1, 17)), list(range(1, 13))) == ALL


def test_what_a_smaller_study_cannot_fill_is_said(values):
    values["study"]["datasets"] = ["world_objects"]
    config = validate_config(values)
    assert fillable(config) == (
        [n for n in TABLES if n not in (5, 7, 13)],
        [n for n in FIGURES if n != 7],
    )
    assert left_out(config) == [
        "table 5 is left out: it needs a dataset with the role places365_lt",
        "table 7 is left out: it needs a dataset with the role inat2018",
        "table 13 is left out: it needs reordered in the entry of one of study.datasets",
        "figure 7 is left out: it needs reordered in the entry of one of study.datasets",
    ]


def test_one_member_and_one_loss(values):
    values["study"] |= {"members": ["clip"], "datasets": ["world_objects", "world_places"]}
    values["datasets"]["world_places"].pop("reordered")
    tables, figures = fillable(validate_config(values))
    assert (tables, figures) == (
        [1, 3, 4, 5, 6, 8, 9, 10, 11, 12, 14, 16],
        [1, 2, 3, 4, 5, 9, 10, 11, 12],
    )
    values["study"] |= {"losses": ["ce"], "variants": []}
    values["fusion"] = values.get("fusion", {}) | {"losses": []}
    assert fillable(validate_config(values)) == ([1, 3, 10, 14, 16], [1, 5, 11, 12])


def test_fusion_needs_la_and_logits(values):
    values["fusion"] = values.get("fusion", {}) | {"modes": ["probabilities"]}
    tables, figures = fillable(validate_config(values))
    assert not {5, 6, 7, 8, 11, 15} & set(tables)
    assert not {6, 8} & set(figures)


def test_decoupling_may_be_in_the_study_or_in_its_variants(values):
    values["study"]["variants"] = []
    assert 12 not in fillable(validate_config(values))[0]
    values["study"]["losses"] += ["decoupling"]
    assert 12 in fillable(validate_config(values))[0]


def test_without_hidden_parts(values):
    for entry in values["datasets"].values():
        entry["occlusion"] = None
    config = validate_config(values)
    assert left_out(config) == [
        f"{what} is left out: it needs images with a part hidden, datasets.NAME.occlusion, of a "
        "dataset of the study"
        for what in ("table 15", "figure 8")
    ]


def test_neighbors_need_a_val_split(values):
    values["datasets"]["world_objects"] |= {"val": None, "prior_split": "test"}
    assert 4 in fillable(validate_config(values))[0], "World-Places has one"
    values["study"]["datasets"] = ["world_objects", "world_species"]
    assert 4 not in fillable(validate_config(values))[0]


def test_the_network_from_scratch_needs_its_dataset_and_its_loss(values):
    values["study"]["datasets"] = ["world_places", "world_species"]
    line = "figure 9 is left out: it needs scratch.dataset in study.datasets and scratch.loss in"
    assert any(found.startswith(line) for found in left_out(validate_config(values)))
    values["scratch"] |= {"dataset": "world_places", "loss": "bs"}
    assert 9 not in fillable(validate_config(values))[1]
    values["scratch"]["loss"] = "ce"
    assert 9 in fillable(validate_config(values))[1]


def test_the_six_classes_need_what_the_world_draws_or_stable_diffusion(values):
    values["confounder"]["stable_diffusion"] = {"model": "sd"}
    values["datasets"]["mine"] = {"label": "Mine", "root": "data/mine"}
    values["study"]["datasets"] = ["mine"]
    values.pop("scratch")
    for wanted in (True, False):
        tables, figures = fillable(validate_config(values))
        assert (16 in tables, {11, 12} <= set(figures)) == (wanted, wanted)
        values["confounder"].pop("stable_diffusion", None)
    values["study"]["datasets"] = ["mine", "world_places"]
    assert 16 in fillable(validate_config(values))[0]
    values.pop("confounder")
    assert 16 not in fillable(validate_config(values))[0]

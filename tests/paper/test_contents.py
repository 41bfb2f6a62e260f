"""Which tables and figures a study can fill, and what is said of the others."""

from typing import Any

import pytest
import yaml

from dualtail.config.document import validate_config
from dualtail.paper.contents import FIGURES, TABLES, fillable, left_out
from dualtail.paper.figures import BUILDERS as FIGURE_BUILDERS
from dualtail.paper.tables import BUILDERS as TABLE_BUILDERS
from dualtail.paper.tables.all_predictors import NAME


@pytest.fixture
def values(root) -> dict[str, Any]:
    return yaml.safe_load((root / "config.yaml").read_text())


def test_the_default_study_fills_all(values):
    config = validate_config(values)
    assert (fillable(config), left_out(config)) == ((list(TABLES), list(FIGURES)), [])
    assert [*map(str, TABLES), NAME] == list(TABLE_BUILDERS)
    assert list(FIGURES) == list(FIGURE_BUILDERS)


def test_what_a_smaller_study_cannot_fill_is_said(values):
    values["study"]["datasets"] = ["world_objects"]
    assert left_out(validate_config(values)) == [
        "table 5 is left out: it needs a dataset with the role places365_lt",
        "table 7 is left out: it needs a dataset with the role inat2018",
        "table 13 is left out: it needs reordered in the entry of one of study.datasets",
        "figure 7 is left out: it needs reordered in the entry of one of study.datasets",
    ]


def test_one_member_and_one_loss(values):
    values["study"] |= {"members": ["clip"], "datasets": ["world_objects", "world_places"]}
    values["datasets"]["world_places"].pop("reordered")
    assert fillable(validate_config(values)) == (
        [1, 3, 4, 5, 6, 8, 9, 10, 11, 12, 14, 16],
        [1, 2, 3, 4, 5, 9, 10, 11, 12],
    )
    values["study"] |= {"losses": ["ce"], "variants": []}
    values["fusion"] = values.get("fusion", {}) | {"losses": []}
    assert fillable(validate_config(values)) == ([1, 3, 10, 14, 16], [1, 5, 11, 12])


def change(values: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for name in parents:
        values = values.setdefault(name, {})
    values[last] = value


@pytest.mark.parametrize(
    ("changes", "tables", "figures"),
    [
        ({"fusion.modes": ["probabilities"]}, {5, 6, 7, 8, 11, 15}, {6, 8}),
        ({"fusion.modes": ["logits"]}, {8, 11}, set()),
        ({"study.variants": []}, {12}, set()),
        (
            {f"datasets.world_{d}.occlusion": None for d in ("objects", "places", "species")},
            {15},
            {8},
        ),
        ({"study.datasets": ["world_species"]}, {4, 5, 6, 13}, {7, 9}),
        ({"scratch.loss": "bs"}, set(), {9}),
        ({"confounder": None}, {16}, {11, 12}),
    ],
)
def test_what_is_lost(values, changes, tables, figures):
    for path, value in changes.items():
        change(values, path, value)
    found = fillable(validate_config(values))
    assert (set(TABLES) - set(found[0]), set(FIGURES) - set(found[1])) == (tables, figures)


def test_the_six_classes_need_what_the_world_draws_or_stable_diffusion(values):
    values["datasets"]["mine"] = {"label": "Mine", "root": "data/mine"}
    values["study"]["datasets"] = ["mine"]
    values.pop("scratch")
    values["confounder"]["stable_diffusion"] = {"model": "sd"}
    assert 16 in fillable(validate_config(values))[0]
    values["confounder"].pop("stable_diffusion")
    assert 16 not in fillable(validate_config(values))[0]

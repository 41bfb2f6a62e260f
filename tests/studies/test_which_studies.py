"""Which studies a run can make, and that the first tuning seed is that of the first PEFT."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from dualtail.config.document import validate_config
from dualtail.study import intervened, known_priors, predictions, reordered, studies_of


@pytest.fixture
def values(root: Path) -> dict[str, Any]:
    return yaml.safe_load((root / "config.yaml").read_text())


def test_the_world_makes_all_of_them(values: dict[str, Any]) -> None:
    config = validate_config(values)
    assert studies_of(config) == [
        *("frontier", "prior", "interventional", "logits_probabilities", "fusion_weights"),
        "student",
    ]
    assert intervened(config) == config.study.datasets
    # The corpora do not tell species apart: their prior is not known.
    assert {dataset for dataset, _ in known_priors(config)} == {"world_objects", "world_places"}


def test_models_of_ones_own_and_data_of_ones_own_make_none(values: dict[str, Any]) -> None:
    values["study"]["members"] = ["clip"]
    values["foundation"]["clip"]["weights"] = {"path": "clip.safetensors"}
    values["datasets"]["mine"] = {"label": "Mine", "root": "data/mine"}
    values["study"]["datasets"] = ["mine"]
    config = validate_config(values)
    assert (studies_of(config), intervened(config)) == (["frontier"], [])


def test_nothing_that_is_fused_is_not_compared(values: dict[str, Any]) -> None:
    values["fusion"] = values.get("fusion", {}) | {"zero_shot": False, "losses": []}
    made = studies_of(validate_config(values))
    assert not {"logits_probabilities", "fusion_weights"} & set(made)


@pytest.mark.parametrize(
    "occlusion",
    [
        None,
        {"table": "mine.csv", "conditions": {"both": "b", "body_hidden": "c", "head_hidden": "d"}},
        {"table": "pairs.csv", "conditions": {"both": "b", "body_hidden": "c"}},
    ],
)
def test_images_of_another_kind_have_no_known_truth(
    values: dict[str, Any], occlusion: dict[str, Any] | None
) -> None:
    values["datasets"]["world_objects"]["occlusion"] = occlusion
    assert intervened(validate_config(values)) == ["world_places", "world_species"]


def test_what_has_one_seed_has_the_first_of_its_peft(values: dict[str, Any]) -> None:
    values["study"] |= {"seeds": [3, 4], "variants": []}
    values["pefts"]["adaptformer"]["seeds"] = [6, 5]
    config = validate_config(values)
    rows = predictions(config)
    samples = [row for row in rows if row.dataset in reordered(config)]
    assert len(samples) == 9
    assert {row.seed for row in samples} == {6}
    assert {row.seed for row in rows if row.explained} == {None, 6}
    assert {row.seed for row in rows if row.peft == "adaptformer" and row.fusion != "ensemble"} == {
        5,
        6,
    }

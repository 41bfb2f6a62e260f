"""Which studies a run can make, and from which files."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from dualtail.config.document import validate_config
from dualtail.plan import Plan


@pytest.fixture
def values(root: Path) -> dict[str, Any]:
    return yaml.safe_load((root / "config.yaml").read_text())


def plan_of(values: dict[str, Any]) -> Plan:
    plan = Plan(validate_config(values))
    plan.check()
    return plan


def test_the_world_makes_all_of_them_from_files_that_others_make(values: dict[str, Any]) -> None:
    plan = plan_of(values)
    assert plan.studies.names == ["prior", "interventional", "logits_probabilities"]
    # The corpora do not tell species apart: their prior is not known.
    assert {d for d, _ in plan.studies.known_priors} == {"world_objects", "world_places"}
    made = {
        *plan.dumps.all_dumps("world_objects", "val"),
        *(dump for d in plan.scope.datasets for dump in plan.explain.fused_dumps(d)),
        *plan.explain.outputs(plan.scope.members)["dumps"],
    }
    read = set(plan.studies.interventions_inputs())
    truth = {f"data/world/{d}/truth.json" for d in plan.scope.datasets}
    assert read - made == truth
    assert "data/world/corpora/clip/list.txt" in plan.studies.prior_inputs()


def test_interventions_cover_zero_shot_and_fused_models(values: dict[str, Any]) -> None:
    (first, *_) = plan_of(values).studies.interventions_job().datasets
    shown = ["/".join(model["both"].parts[-3:-1]) for model in first.models]
    every = "clip+openclip+metaclip"
    assert shown[:5] == [
        "clip/zero-shot",
        "openclip/zero-shot",
        "metaclip/zero-shot",
        f"{every}/zero-shot-logits",
        f"{every}/zero-shot-probabilities",
    ]
    assert shown[5:8] == [f"{m}/adaptformer-la-0" for m in ("clip", "openclip", "metaclip")]
    assert len(shown) == 10
    assert first.corpora == {m: m for m in ("clip", "openclip", "metaclip")}


def test_samples_of_table_13_are_tuned_with_the_first_seed(values: dict[str, Any]) -> None:
    values["study"]["seeds"] = [3, 4]
    plan = plan_of(values)
    reordered = [t for d, _, t in plan.scope.variants if d in plan.scope.reordered]
    assert len(reordered) == 9
    assert {t.seed for t in reordered} == {3}
    assert {t.seed for t in plan.scope.tunings} == {3, 4}


def test_a_single_model_of_ones_own_makes_none(values: dict[str, Any]) -> None:
    values["world"] = values["confounder"] = None
    values["study"]["members"] = ["clip"]
    values["foundation"]["clip"]["weights"] = {"path": "clip.safetensors"}
    plan = plan_of(values)
    assert plan.studies.names == []
    assert plan.controls.settings is None


def test_one_way_of_fusing_is_not_compared(values: dict[str, Any]) -> None:
    values["fusion"]["modes"] = ["logits"]
    assert plan_of(values).studies.names == ["prior", "interventional"]

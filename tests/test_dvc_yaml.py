"""dvc.yaml against the Snakefile; tests/workflow/test_artifacts.py holds it against a run."""

from pathlib import Path
from typing import Any

import pytest
import yaml

PLACES = ("results/${run}/", "data/")


@pytest.fixture
def stages(root: Path) -> dict[str, Any]:
    return yaml.safe_load((root / "dvc.yaml").read_text())["stages"]


def outs(stage: dict[str, Any]) -> list[str]:
    entries = [*stage["outs"], *stage.get("metrics", [])]
    assert all(options == {"persist": True} for entry in entries for options in entry.values())
    return [name for entry in entries for name in entry]


def test_outs_are_disjoint_and_made_before_they_are_read(stages: dict[str, Any]) -> None:
    made: list[str] = []
    for stage in stages.values():
        assert {name for name in stage["deps"] if name.startswith(PLACES)} <= set(made)
        made += outs(stage)
    for one in made:
        assert [out for out in made if out == one or out.startswith(f"{one}/")] == [one]


def test_every_stage_depends_on_the_config_the_rules_and_the_code(stages: dict[str, Any]) -> None:
    for stage in stages.values():
        assert stage["params"] == [{"config.yaml": None}], "all of it"
        assert {"Snakefile", "workflow", "src/dualtail"} <= set(stage["deps"])


def test_dvc_keeps_to_itself(root: Path) -> None:
    config = (root / ".dvc/config").read_text()
    assert "analytics = false" in config
    assert "url" not in config

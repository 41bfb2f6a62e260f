"""dvc.yaml against the config and the files of a run."""

import re
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from dualtail.plan import Plan
from dualtail.provenance.verify import NO_RESULTS

PLACE = "${results}/${run}"


@pytest.fixture
def stages(root: Path) -> dict[str, Any]:
    return yaml.safe_load((root / "dvc.yaml").read_text())["stages"]


def outs(stage: dict[str, Any]) -> list[str]:
    entries = [*stage["outs"], *stage.get("metrics", [])]
    assert all(options == {"persist": True} for entry in entries for options in entry.values())
    return [name for entry in entries for name in entry]


def test_parameters_are_keys_of_the_config_and_all_are_used(root: Path, stages) -> None:
    config = yaml.safe_load((root / "config.yaml").read_text())
    used = set()
    for stage in stages.values():
        (entry,) = stage["params"]
        assert set(entry["config.yaml"]) <= config.keys()
        used |= set(entry["config.yaml"])
    assert used == config.keys()


def test_outs_are_disjoint_and_made_before_they_are_read(stages) -> None:
    made: list[str] = []
    for stage in stages.values():
        read = [d for d in stage["deps"] if d.startswith((PLACE, "data/"))]
        assert set(read) <= set(made)
        made += outs(stage)
    for one in made:
        assert [o for o in made if o == one or o.startswith(f"{one}/")] == [one]


def test_every_file_of_a_run_is_an_out(root: Path, stages) -> None:
    """As far as paths.py knows, by its top folder."""
    from dualtail.paths import RunPaths

    covered = {name.removeprefix(f"{PLACE}/") for s in stages.values() for name in outs(s)}
    text = (root / "src/dualtail/paths.py").read_text()
    tops = {PurePosixPath(p).parts[0] for p in re.findall(r'f"\{self\.root\}/([\w./]+)', text)}
    assert RunPaths("x").metrics == "x/metrics.json"
    suffixed = {"comparison": {"comparison.md", "comparison.csv"}, "comparison.": set()}
    for top in tops - {"checkpoints"}:
        wanted = suffixed.get(top.rstrip("."), {top})
        assert wanted <= covered, top
    assert set(NO_RESULTS) - {"checkpoints"} <= covered


def test_targets_are_rules_of_the_snakefile(root: Path, stages) -> None:
    text = (root / "Snakefile").read_text()
    text += "".join(f.read_text() for f in (root / "workflow/rules").glob("*.smk"))
    for stage in stages.values():
        command = stage["cmd"] if isinstance(stage["cmd"], str) else stage["cmd"][-1]
        target = command.removeprefix("exec snakemake ").split()[0]
        assert target == "--cores" or re.search(rf"^rule {target}:", text, re.M), target


def test_what_the_world_draws(root: Path) -> None:
    from dualtail.config_document import read_config

    plan = Plan(read_config([root / "config.yaml", root / "config/smoke.yaml"]))
    assert plan.world.drawn_files() == [
        "data/world_smoke/corpora/clip/images.zip",
        "data/world_smoke/corpora/openclip/images.zip",
        "data/world_smoke/world_places/train.zip",
        "data/world_smoke/world_places/pool.zip",
    ]


def test_dvc_keeps_to_itself(root: Path) -> None:
    config = (root / ".dvc/config").read_text()
    assert "analytics = false" in config
    assert "url" not in config

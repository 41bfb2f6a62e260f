"""dvc.yaml against the config and the files of a run."""

import copy
import functools
import operator
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dualtail.config.document import validate_config
from dualtail.errors import UserError
from dualtail.plan import Plan, as_json
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
        for key in entry["config.yaml"]:
            functools.reduce(operator.getitem, key.split("."), config)
            used.add(key.split(".")[0])
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
    """As far as paths.py knows, by the fixed beginning of each name."""
    from dualtail.paths import RunPaths

    covered = {name.removeprefix(f"{PLACE}/") for s in stages.values() for name in outs(s)}
    text = (root / "src/dualtail/paths.py").read_text()
    names = set(re.findall(r'f"\{self\.root\}/([\w./]+)', text))
    assert RunPaths("x").metrics == "x/metrics.json"
    assert "outputs/tuned/" in names
    assert "comparison." in names
    names = (names - {"checkpoints/", "comparison."}) | {"comparison.md", "comparison.csv"}
    for name in names:
        assert any(name == out or name.startswith(f"{out}/") for out in covered), name
    assert set(NO_RESULTS) - {"checkpoints"} <= covered


def phase_jobs(plan: Plan) -> dict[str, list[str]]:
    """What the jobs of every phase are told, as the rules ask for it."""
    scope, scored = plan.scope, plan.scope.scored
    members, datasets = scope.members, scope.datasets
    cells = [(d, m, t.name) for d in scored for m, t in scope.cells(d)]
    jobs: dict[str, list[Any]] = {
        "world": [
            *(plan.world.corpus_job(corpus) for corpus in scope.corpora),
            *(plan.world.dataset_job(dataset) for dataset in datasets),
        ],
        "foundation": [plan.foundation.pretrain_job(scope.pretrained_here)],
        "packs": [plan.data.pack_job(dataset) for dataset in datasets],
        "zero_shot_outputs": [plan.foundation.zero_shot_job(members)],
        "priors": [plan.bias.prior_flags(d, m) for d in datasets for m in members],
        "tuning": [plan.tuning.tune_job(cells), plan.reordered.reorder_job()]
        + [plan.reordered.pack_job(dataset) for dataset in scope.reordered],
        "combined_outputs": [
            *(plan.bias.combine_job(dataset) for dataset in datasets),
            *(plan.scores.knn_flags(d) for d in datasets if plan.dumps.knn_dumps(d)),
        ],
        "explanations": [plan.explain.job(members), plan.explain.score_job()],
        "from_scratch": [
            plan.scratch.job(scope.scratch_variants),
            plan.confounder.draw_job(),
            plan.confounder.train_job(),
            plan.confounder.score_flags(),
        ],
        "scores": [
            plan.scores.collect_job(),
            plan.scores.score_flags(),
            *(plan.scores.group_counts(dataset) for dataset in scored),
        ],
        "paper": [
            plan.paper.paper_job(),
            plan.studies.prior_job(),
            plan.studies.interventions_job(),
            plan.world.world_picture_job(),
        ],
    }
    return {
        phase: [job if isinstance(job, (str, list)) else as_json(job) for job in told]
        for phase, told in jobs.items()
    }


def places(values: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    entries = enumerate(values) if isinstance(values, list) else values.items()
    for key, value in entries:
        if isinstance(value, (list, dict)):
            yield from places(value, (*place, key))
        if not isinstance(value, dict):
            yield (*place, key)


def changes(values: dict[str, Any], place: tuple[Any, ...]) -> Iterator[dict[str, Any]]:
    """The config with other values at one place; not all are valid."""
    old = functools.reduce(operator.getitem, place, values)
    match old:
        case bool():
            others: list[Any] = [not old]
        case int():
            others = [old + 1]
        case float():
            others = [old / 2]
        case list():
            others = [old[:-1]]
        case _:
            sections = [s for s in values.values() if isinstance(s, dict) and old in s]
            others = [f"{old}x", *(name for s in sections for name in [*s][:2] if name != old)]
    for new in others:
        copied = copy.deepcopy(values)
        functools.reduce(operator.getitem, place[:-1], copied)[place[-1]] = new
        yield copied


def test_what_a_phase_is_told_is_in_its_parameters(root: Path, stages) -> None:
    """Every value of the config, changed where that leaves a valid one."""
    config = validate_config(yaml.safe_load((root / "config.yaml").read_text()))
    values = config.model_dump(mode="json")
    before = phase_jobs(Plan(config))
    assert before.keys() == stages.keys()
    needed: dict[str, set[tuple[Any, ...]]] = {phase: set() for phase in stages}
    for place in places(values):
        for other in changes(values, place):
            try:
                plan = Plan(validate_config(other))
                plan.check()
                after = phase_jobs(plan)
            except UserError:
                continue
            for phase in stages:
                if after[phase] != before[phase]:
                    needed[phase].add(place)
    assert all(needed.values())
    assert ("scores", "p_groups_from") in needed["tuning"], "names are changed to other names"
    lacking = {}
    for phase, stage in stages.items():
        keys = [tuple(key.split(".")) for key in stage["params"][0]["config.yaml"]]
        lacking[phase] = [p for p in needed[phase] if not any(p[: len(key)] == key for key in keys)]
    assert not any(lacking.values()), lacking


def test_targets_are_rules_of_the_snakefile(root: Path, stages) -> None:
    text = (root / "Snakefile").read_text()
    text += "".join(f.read_text() for f in (root / "workflow/rules").glob("*.smk"))
    for stage in stages.values():
        command = stage["cmd"] if isinstance(stage["cmd"], str) else stage["cmd"][-1]
        target = command.removeprefix("exec snakemake ").split()[0]
        assert target == "--cores" or re.search(rf"^rule {target}:", text, re.M), target


def test_what_the_world_draws(root: Path) -> None:
    from dualtail.config.document import read_config

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

"""The second study: its models, what they differ in, and that it is no part of the first."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from dualtail.config.document import validate_config
from dualtail.errors import UserError
from dualtail.plan import Plan


@pytest.fixture
def values(root: Path) -> dict[str, Any]:
    return yaml.safe_load((root / "config.yaml").read_text())


def plan_of(values: dict[str, Any]) -> Plan:
    plan = Plan(validate_config(values))
    plan.check()
    return plan


def test_models_differ_in_their_seed_or_in_their_corpus_alone(values: dict[str, Any]) -> None:
    plan = plan_of(values)
    base = {t.foundation.member: t for t in plan.foundation.pretrain_job(plan.scope.members).tasks}
    tasks = plan.controls.foundation.pretrain_job(plan.controls.scope.members).tasks
    assert len(tasks) == 9
    for task in tasks:
        member, _, kind = task.foundation.member.partition(".")
        own = {"foundation", "out", "history", "checkpoint"}
        own |= {"corpus", "list", "images", "class_names"} if kind == "unbiased" else {"seed"}
        assert task.model_dump(exclude=own) == base[member].model_dump(exclude=own)
        assert task.out not in {other.out for other in base.values()}
        assert task.checkpoint not in {other.checkpoint for other in base.values()}
        if kind == "unbiased":
            assert task.corpus == f"{member}_unbiased"
            assert task.list == Path(f"data/world/corpora/{member}_unbiased/list.txt")
        else:
            assert task.seed == int(kind) != base[member].seed


def test_they_are_tuned_like_the_members(values: dict[str, Any]) -> None:
    plan = plan_of(values)
    tasks = plan.controls.tuning.tune_job(plan.controls.cells).tasks
    assert len(tasks) == 9 * 2
    for task in tasks:
        member = task.foundation.member.partition(".")[0]
        (like,) = plan.tuning.tune_job([(task.dataset, member, "adaptformer-la-0")]).tasks
        own = {"foundation", "dumps", "adapter", "record", "history", "checkpoint"}
        assert task.model_dump(exclude=own) == like.model_dump(exclude=own)


def test_sets_are_fused_from_dumps_that_are_made(values: dict[str, Any]) -> None:
    plan = plan_of(values)
    tuned = set(plan.controls.tuning.tune_outputs(plan.controls.cells)["dumps"])
    fused = set(plan.controls.combine_outputs())
    run = {
        dump for dataset in plan.controls.datasets for dump in plan.dumps.all_dumps(dataset, "test")
    }
    assert set(plan.controls.combine_inputs()) <= tuned | run
    assert set(plan.controls.study_inputs()) <= tuned | run | fused
    assert fused <= set(plan.controls.study_inputs())
    assert not (tuned | fused) & run
    sets = plan.controls.study_job().datasets[0].sets
    assert [(s.name, len(s.singles)) for s in sets] == [
        ("3 corpora", 3),
        ("3 seeds of CLIP", 3),
        ("3 seeds of OpenCLIP", 3),
        ("3 seeds of MetaCLIP", 3),
        ("3 corpora without bias", 3),
    ]


def test_it_changes_no_job_of_the_run(values: dict[str, Any]) -> None:
    with_it = plan_of(values)
    values["studies"]["controls"], values["world"]["unbiased"] = None, {}
    without = plan_of(values)
    assert without.controls.settings is None
    assert without.controls.corpora == []
    for member in with_it.scope.members:
        one, two = (p.foundation.pretrain_job([member]) for p in (with_it, without))
        assert one == two
        assert with_it.world.corpus_job(member) == without.world.corpus_job(member)
    for dataset in with_it.scope.datasets:
        assert with_it.world.dataset_job(dataset) == without.world.dataset_job(dataset)


def test_without_corpora_of_no_bias_there_are_seeds_alone(values: dict[str, Any]) -> None:
    values["world"]["unbiased"] = {"clip_unbiased": "clip"}
    plan = plan_of(values)
    assert plan.controls.unbiased == {}
    assert plan.controls.corpora == []
    assert len(plan.controls.scope.members) == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"datasets": ["world_objects", "world_placs"]}, "did you mean 'world_places'"),
        ({"datasets": []}, "studies.controls.datasets"),
        ({"seeds": 1}, "studies.controls.seeds"),
        ({"sedes": 2}, "did you mean 'seeds'"),
    ],
)
def test_wrong_settings_name_the_key(
    values: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    values["studies"]["controls"] |= change
    with pytest.raises(UserError, match=message):
        validate_config(values)


def test_a_seed_without_pre_training_is_refused(values: dict[str, Any]) -> None:
    values["foundation"]["clip"]["weights"] = {"path": "x.safetensors", "seed": 3}
    with pytest.raises(
        UserError, match=r"foundation\.clip\.weights.*seed: is that of pre-training"
    ):
        validate_config(values)


def test_a_model_may_have_a_seed_of_its_own(values: dict[str, Any]) -> None:
    values["foundation"]["openclip"]["weights"]["seed"] = 7
    plan = plan_of(values)
    seeds = [task.seed for task in plan.foundation.pretrain_job(plan.scope.members).tasks]
    assert seeds == [0, 7, 0]
    models = plan.controls.foundation.pretrain_job(plan.controls.scope.members).tasks
    own = {t.foundation.member: t.seed for t in models if t.foundation.member[0] == "o"}
    assert own == {"openclip.1": 8, "openclip.2": 9, "openclip.unbiased": 7}

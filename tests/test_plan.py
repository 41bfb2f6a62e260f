"""The plan: jobs cut as the config says, files named once, mistakes found before anything runs."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from dualtail.config.document import validate_config
from dualtail.errors import UserError
from dualtail.jobs import (
    CombineJob,
    ExplainJob,
    PackJob,
    ScoreExplanationsJob,
    TuneJob,
    read_job,
)
from dualtail.plan import Plan, as_json


@pytest.fixture
def values(root: Path) -> dict[str, Any]:
    values = yaml.safe_load((root / "config.yaml").read_text())
    values["study"] |= {"datasets": ["world_objects", "world_places"], "seeds": [0]}
    values["datasets"]["world_places"]["reordered"] = None
    return values


def plan_of(values: dict[str, Any]) -> Plan:
    plan = Plan(validate_config(values))
    plan.check()
    return plan


@pytest.mark.parametrize(
    ("level", "wildcards"),
    [
        ("all", []),
        ("dataset", ["{dataset}"]),
        ("model", ["{dataset}", "{member}"]),
        ("tuning", ["{dataset}", "{member}", "{tuning}"]),
    ],
)
def test_every_level_covers_every_tuning_exactly_once(
    values: dict[str, Any], level: str, wildcards: list[str]
) -> None:
    values["jobs"]["tune"] = level
    plan = plan_of(values)
    bundle = plan.scope.bundle("tune")
    assert bundle.label == (wildcards or ["all"])
    patterns = plan.tuning.tune_outputs(plan.tuning.cells(bundle))["adapters"]
    found = set()
    for dataset in plan.scope.datasets:
        for member in plan.scope.members:
            for tuning in plan.scope.tunings:
                names = {"dataset": dataset, "member": member, "tuning": tuning.name}
                filled = plan.scope.bundled(names, "tune")
                outputs = plan.tuning.tune_outputs(plan.tuning.cells(filled))
                assert outputs["adapters"] == [p.format(**names) for p in patterns]
                job = plan.tuning.tune_job(plan.tuning.cells(filled))
                assert [task.adapter.as_posix() for task in job.tasks] == outputs["adapters"]
                found.update(outputs["adapters"])
    assert len(found) == 2 * 3 * 4


def test_every_dump_has_one_maker(values: dict[str, Any]) -> None:
    plan = plan_of(values)
    for dataset in plan.scope.datasets:
        for split in ("val", "test"):
            dumps = plan.dumps.all_dumps(dataset, split)
            assert len(dumps) == len(set(dumps))
            combined = plan.bias.combine_job(dataset)
            made = [out for m in combined.adjusted for out in m.outs.values()]
            made += [fusion.out for fusion in combined.fused]
            assert {m.as_posix() for m in made if m.stem == split} == set(
                plan.dumps.combined_dumps(dataset, split)
            )
    # 2 pefts x (4 subsets x 2 modes) fused + zero-shot fused, 3 members x 2 pefts x 3 adjusted
    assert len(plan.dumps.combined_dumps("world_places", "test")) == 3 * 2 * 3 + 4 * 3 * 2


def test_jobs_survive_the_command_line(values: dict[str, Any]) -> None:
    values["prompts"]["photo"] = ['it\'s a "{}"; $(touch x) `y` \\ é']
    plan = plan_of(values)
    job = plan.tuning.tune_job(
        plan.tuning.cells(plan.scope.bundled({"dataset": "world_places"}, "tune"))
    )
    assert read_job(TuneJob, as_json(job)) == job


def test_jobs_from_files_and_wrong_jobs(values: dict[str, Any], tmp_path: Path) -> None:
    job = plan_of(values).data.pack_job("world_places")
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(job.model_dump(mode="json")))
    assert read_job(PackJob, str(file)) == job
    with pytest.raises(UserError, match=r"--settings: datset: unknown key"):
        read_job(PackJob, '{"datset": "x"}')
    with pytest.raises(UserError, match="not JSON"):
        read_job(PackJob, "{")
    with pytest.raises(UserError, match=r"none\.json: neither JSON nor a readable"):
        read_job(PackJob, "none.json")


def test_a_world_in_two_folders_is_refused(values: dict[str, Any]) -> None:
    values["datasets"]["world_places"]["root"] = "elsewhere/world_places"
    with pytest.raises(UserError, match=r"datasets\.world_places\.root: the world draws all"):
        plan_of(values)


def test_architectures(values: dict[str, Any], tmp_path: Path) -> None:
    values["foundation"]["clip"]["architecture"] = str(tmp_path / "none.json")
    with pytest.raises(UserError, match=r"foundation\.clip\.architecture: .*no such file"):
        plan_of(values)
    (tmp_path / "bad.json").write_text("{")
    values["foundation"]["clip"]["architecture"] = str(tmp_path / "bad.json")
    with pytest.raises(UserError, match=r"bad\.json: not a readable JSON"):
        plan_of(values)
    values["foundation"]["clip"]["architecture"] = "ViT-B-16"
    assert plan_of(values).foundation.foundation_spec("clip").architecture_config is None


def test_a_users_own_data_needs_no_world(values: dict[str, Any]) -> None:
    values["world"] = None
    for name, entry in values["foundation"].items():
        entry["weights"] = {"path": f"{name}.safetensors"}
    plan = plan_of(values)
    assert (plan.world.world_corpora, plan.world.world_datasets, plan.scope.pretrained_here) == (
        None,
        None,
        [],
    )


def test_many_members_are_fused_in_pairs_all_but_one_and_all(values: dict[str, Any]) -> None:
    names = [f"m{i}" for i in range(7)]
    for name in names:
        values["foundation"][name] = values["foundation"]["clip"]
    values["study"]["members"] = names
    values["scores"]["p_groups_from"] = "m0"
    sizes = [len(subset) for subset in plan_of(values).scope.fused_sets()]
    assert [sizes.count(k) for k in (1, 2, 3, 6, 7)] == [0, 21, 0, 7, 1]


def test_only_the_code_of_the_methods_in_use_counts(
    values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dualtail import code_hash

    both = plan_of(values).code("tune")
    values["study"]["pefts"] = ["adaptformer"]
    assert plan_of(values).code("tune") != both
    found = set()
    original = code_hash._parse

    def spy(name: str) -> Any:
        found.add(name)
        return original(name)

    monkeypatch.setattr(code_hash, "_parse", spy)
    plan_of(values).code("tune")
    assert "dualtail.tuning.peft.adaptformer" in found
    assert "dualtail.tuning.peft.vpt_deep" not in found
    assert "dualtail.paper.layout" not in found


def test_a_job_has_the_code_of_its_own_tunings_only(values: dict[str, Any], tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text("class Own: pass\n")
    values["pefts"]["own"] = {"label": "Own", "method": f"{own}:Own"}
    values["losses"]["own"] = {"method": f"{own}:Own"}
    values["study"] |= {"pefts": ["vpt", "own"], "losses": ["ce", "la", "own"]}
    values["jobs"]["tune"] = "tuning"

    def hashes() -> dict[str, str]:
        plan = plan_of(values)
        return {t.name: plan.code("tune", [t.name]) for t in plan.scope.tunings}

    before = hashes()
    own.write_text("class Own: x = 1\n")
    after = hashes()
    assert {name for name in before if before[name] != after[name]} == {
        "own-ce-0",
        "own-la-0",
        "own-own-0",
        "vpt-own-0",
    }


def test_weights_and_code_of_fusion_rules_reach_the_job(
    values: dict[str, Any], tmp_path: Path
) -> None:
    own = tmp_path / "own.py"
    own.write_text("class Own: pass\n")
    values["fusion"]["rules"] |= {
        "own": {"method": f"{own}:Own", "options": {"p": 2}},
        "weighted": {
            "method": "logits",
            "weights": {"clip": 1, "openclip": 2, "metaclip": 5, "x": 1},
        },
    }
    values["foundation"]["x"] = values["foundation"]["clip"]  # no member: its weight is not used
    values["fusion"]["modes"] = ["probabilities", "weighted"]
    unused = plan_of(values).code("combine")
    values["fusion"]["modes"] = ["own", "weighted"]
    plan = plan_of(values)
    before = plan.code("combine")
    job = plan.bias.combine_job("world_places")
    assert read_job(CombineJob, as_json(job)) == job
    found = {
        (f.out.parts[-3], f.mode, f.method, str(f.options), tuple(f.weights or ()))
        for f in job.fused
        if f.out.parts[-2].startswith("zero-shot") and f.out.stem == "test"
    }
    subsets = {
        "clip+openclip": (1, 2),
        "clip+metaclip": (1, 5),
        "openclip+metaclip": (2, 5),
        "clip+openclip+metaclip": (1, 2, 5),
    }
    assert found == {
        entry
        for members, weights in subsets.items()
        for entry in (
            (members, "own", f"{own}:Own", "{'p': 2}", ()),
            (members, "weighted", "logits", "{}", weights),
        )
    }
    own.write_text("class Own: x = 1\n")
    plan = plan_of(values)
    assert plan.code("combine") != before
    assert plan.code("tune") == plan_of(values).code("tune")
    values["fusion"]["modes"] = ["probabilities", "weighted"]
    assert plan_of(values).code("combine") == unused


def test_a_study_makes_what_it_can_fill_and_says_what_not(values: dict[str, Any]) -> None:
    assert (plan_of(values).paper.tables, plan_of(values).paper.left_out()) == (
        [1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 14, 15, 16],
        [
            "table 7 is left out: it needs a dataset with the role inat2018",
            "table 13 is left out: it needs reordered in the entry of one of study.datasets",
            "figure 7 is left out: it needs reordered in the entry of one of study.datasets",
        ],
    )
    values["study"]["members"] = ["clip"]
    plan = plan_of(values)
    assert (plan.paper.tables, plan.paper.figures) == (
        [1, 3, 4, 5, 6, 8, 9, 10, 11, 12, 14, 16],
        [1, 2, 3, 4, 5, 9, 10, 11, 12],
    )
    assert plan.paper.left_out()[0] == (
        "table 2 is left out: it needs two or more entries in study.members"
    )
    values["study"]["losses"] = ["ce"]
    values["fusion"]["losses"] = []
    plan = plan_of(values)
    assert (plan.paper.tables, plan.paper.figures) == ([1, 3, 10, 14, 16], [1, 5, 11, 12])


def test_without_hidden_parts_their_table_and_figure_are_left_out(values: dict[str, Any]) -> None:
    for entry in values["datasets"].values():
        entry["occlusion"] = None
    plan = plan_of(values)
    assert 15 not in plan.paper.tables
    assert 8 not in plan.paper.figures
    assert {4, 10} <= set(plan.paper.figures)
    hidden = [line for line in plan.paper.left_out() if "occlusion" in line]
    assert hidden == [
        f"{what} is left out: it needs images with a part hidden, datasets.NAME.occlusion, of a "
        "dataset of the study"
        for what in ("table 15", "figure 8")
    ]
    job = plan.explain.job(plan.scope.members)
    assert {task.images.list.name for task in job.tasks if task.images.list} == {"test.txt"}
    assert all(set(task.images.conditions) == {"visible"} for task in job.tasks)
    assert all(entry.world is None for entry in plan.explain.score_job().datasets)


def test_what_is_explained_is_made_once_and_read_where_it_is_made(values: dict[str, Any]) -> None:
    values["study"]["seeds"] = [0, 1]
    for level in ("all", "model"):
        values["jobs"]["explain"] = level
        plan = plan_of(values)
        patterns = plan.explain.outputs(plan.scope.bundle("explain").members)
        made = {
            pattern.format(member=member)
            for files in patterns.values()
            for pattern in files
            for member in plan.scope.members
        }
        job = plan.explain.job(plan.scope.members)
        written = [task.maps for task in job.tasks]
        written += [out for t in job.tasks for model in t.models for out in model.outs.values()]
        assert sorted(path.as_posix() for path in written) == sorted(made)
        # zero-shot, CE and LA; the first PEFT entry and seed only
        assert len(written) == 2 * 3 * (1 + 3 * 3)
    score = plan.explain.score_job()
    read = [p for d in score.datasets for paths in d.singles.values() for p in paths]
    read += [path for d in score.datasets for path in d.maps.values()]
    assert {path.as_posix() for path in read} == made
    assert made <= set(plan.explain.score_inputs())
    fused = [f for d in score.datasets for found in d.fused.values() for f in found]
    assert {f.out.as_posix() for f in fused} == {
        file for dataset in plan.scope.datasets for file in plan.explain.fused_dumps(dataset)
    }
    assert {path for f in fused for path in f.dumps} <= set(read)
    assert read_job(ExplainJob, as_json(job)) == job
    assert read_job(ScoreExplanationsJob, as_json(score)) == score


def test_only_the_worlds_own_pairs_are_drawn_again(values: dict[str, Any]) -> None:
    found = {d.images.dataset: d.world for d in plan_of(values).explain.score_job().datasets}
    assert all(world is not None for world in found.values())
    values["datasets"]["world_places"]["occlusion"]["table"] = "mine.csv"
    found = {d.images.dataset: d.world for d in plan_of(values).explain.score_job().datasets}
    assert found["world_places"] is None
    assert found["world_objects"] is not None


@pytest.mark.parametrize(
    ("conditions", "complaint"),
    [
        ({"both": "both"}, "at least 2"),
        ({"both": "both", "no head": "x"}, "allowed are letters, digits"),
    ],
)
def test_wrong_conditions(
    values: dict[str, Any], conditions: dict[str, str], complaint: str
) -> None:
    values["datasets"]["world_places"]["occlusion"]["conditions"] = conditions
    with pytest.raises(UserError, match=complaint):
        plan_of(values)


def without_val(values: dict[str, Any], dataset: str) -> None:
    values["datasets"][dataset]["val"] = None
    values["datasets"][dataset]["prior_split"] = "test"


def test_a_dataset_without_val_has_rules_of_its_own(values: dict[str, Any]) -> None:
    values["world"] = None
    without_val(values, "world_places")
    plan = plan_of(values)
    assert [(k.suffix, k.datasets) for k in plan.scope.split_kinds] == [
        ("", ["world_objects"]),
        ("_without_val", ["world_places"]),
    ]
    assert plan.dumps.validation_dumps("world_places") == []
    assert plan.dumps.validation_dumps("world_objects")
    assert plan.scope.prior_split("world_places") == "test"
    assert plan.scope.prior_split("world_objects") == "val"
    assert {s.split for s in plan.data.pack_job("world_places").splits} == {"train", "test"}
    assert 4 in plan.paper.tables  # of the other dataset
    values["datasets"]["world_objects"]["role"] = "inat2018"
    without_val(values, "world_objects")
    tables = plan_of(values).paper.tables
    assert (4 in tables, 6 in tables, 7 in tables) == (False, False, True)
    assert not any(
        "world_places/val" in f for f in plan.foundation.zero_shot_inputs(plan.scope.members)
    )
    for job in (
        plan.bias.combine_job("world_places"),
        plan.foundation.zero_shot_job(plan.scope.members),
    ):
        assert "zero_shot/world_places/clip/val" not in as_json(job)
        assert "zero_shot/world_places/clip/test" in as_json(job)


def test_the_prior_of_a_dataset_without_val_needs_test(values: dict[str, Any]) -> None:
    values["datasets"]["world_places"]["val"] = None
    with pytest.raises(
        UserError, match=r"datasets\.world_places\.val: is null.*prior_split: train \(or test\)"
    ):
        plan_of(values)
    values["prior"]["split"] = "test"
    plan_of(values)


def made(values: dict[str, Any], source: dict[str, Any], **entry: Any) -> Plan:
    values["world"] = None
    values["study"]["datasets"] = ["mine"]
    values["datasets"]["mine"] = {"label": "M", "root": "d", "make_lists": source} | entry
    return plan_of(values)


def test_lists_that_are_made_are_outputs(values: dict[str, Any]) -> None:
    folder = {"folder": {"folder": "images", "largest": 50, "test_per_class": 5}}
    plan = made(values, folder, val=None, prior_split="test")
    assert plan.data.made_files("mine") == ["d/train.txt", "d/test.txt", "d/classnames.txt"]
    with pytest.raises(UserError, match=r"datasets\.mine\.val: make_lists writes .*val: null"):
        made(values, folder)
    with pytest.raises(UserError, match=r"mine\.class_names: make_lists writes classnames"):
        made(values, folder, val=None, prior_split="test", class_names="other.txt")
    with pytest.raises(UserError, match="give exactly one of table, folder, cifar100"):
        made(values, {})


def test_corpora_are_drawn_from_lists(root: Path) -> None:
    from dualtail.config.document import read_config

    plan = Plan(read_config([root / "config.yaml", root / "config/caltech101.yaml"]))
    plan.check()
    assert plan.data.drawn_corpora == ["clip", "openclip", "metaclip"]
    jobs = [plan.data.draw_corpus_job(corpus) for corpus in plan.data.drawn_corpora]
    assert {job.sample.list.as_posix() for job in jobs} <= set(plan.data.made_files("caltech101"))
    assert len({job.sample.seed for job in jobs}) == 3
    assert [job.list.as_posix() for job in jobs] == [
        plan.data.corpus_inputs(member)[0] for member in plan.scope.members
    ]


def test_a_users_own_loss_and_descriptors_are_inputs(
    values: dict[str, Any], tmp_path: Path
) -> None:
    code, texts = tmp_path / "own.py", tmp_path / "texts.json"
    code.write_text("class Own: pass\n")
    values["losses"]["own"] = {"method": f"{code}:Own", "options": {"power": 2}}
    values["study"]["losses"] = ["ce", "la", "own"]
    values["prompts"]["described"] = {"descriptors": str(texts)}
    values["foundation"]["clip"]["prompts"] = "described"
    values["jobs"]["tune"] = "all"
    plan = plan_of(values)
    before = plan.code("tune")
    code.write_text("class Own: x = 1\n")
    assert plan_of(values).code("tune") != before
    job = plan.tuning.tune_job(plan.tuning.cells(plan.scope.bundle("tune")))
    own = {(t.loss, t.loss_method, str(t.loss_options)) for t in job.tasks if t.loss == "own"}
    assert own == {("own", f"{code}:Own", "{'power': 2}")}
    assert read_job(TuneJob, as_json(job)) == job
    assert texts.as_posix() in plan.foundation.zero_shot_inputs(["clip", "openclip"])
    assert texts.as_posix() not in plan.foundation.zero_shot_inputs(["openclip"])
    assert texts.as_posix() in plan.tuning.tune_inputs(plan.tuning.cells(plan.scope.bundle("tune")))


def test_variants_are_made_once_and_read_what_they_stand_on(values: dict[str, Any]) -> None:
    plan = plan_of(values)
    cells = plan.tuning.variants
    names = ["adaptformer-gla_first-0", "adaptformer-gla_train-0", "adaptformer-decoupling-0"]
    assert cells == [(d, "clip", n) for d in plan.scope.datasets for n in names]
    inputs = plan.tuning.tune_inputs(cells)
    for dataset in plan.scope.datasets:
        # gla_first is made in the same process, ce in another one.
        assert plan.paths.adapter(dataset, "clip", "adaptformer-ce-0") in inputs
        assert plan.paths.adapter(dataset, "clip", names[0]) not in inputs
        assert plan.paths.prior(dataset, "clip") in inputs
        made = [n for d, _, n in cells if d == dataset]
        dumps = plan.dumps.tuned_dumps(dataset, "test")
        assert len(dumps) == len(set(dumps)) == 3 * 4 + len(made)
    tasks = {task.loss: task for task in plan.tuning.tune_job(cells[:3]).tasks}
    assert tasks["gla_first"].prior is not None
    assert tasks["gla_first"].base is None
    assert tasks["gla_train"].base == tasks["gla_first"].adapter
    assert (tasks["gla_train"].loss_method, tasks["gla_train"].prior) == ("la", None)


def test_single_tunings_make_variants_too(values: dict[str, Any]) -> None:
    values["jobs"]["tune"] = "tuning"
    plan = plan_of(values)
    assert plan.tuning.variants == []
    wanted = {"dataset": "world_places", "member": "clip", "tuning": "adaptformer-decoupling-0"}
    cells = plan.tuning.cells(plan.scope.bundled(wanted, "tune"))
    base = plan.paths.adapter("world_places", "clip", "adaptformer-ce-0")
    assert base in plan.tuning.tune_inputs(cells)


def test_variants_that_cannot_be_made(values: dict[str, Any]) -> None:
    values["study"]["losses"] = ["la"]
    with pytest.raises(UserError, match=r"losses\.decoupling\.retrain: 'ce' is not tuned for clip"):
        plan_of(values)
    values["study"]["losses"] = ["ce", "la"]
    values["losses"]["decoupling"]["retrain"] = "gla_train"
    with pytest.raises(UserError, match=r"losses\.decoupling\.retrain.*re-trains a head itself"):
        plan_of(values)
    values["losses"]["decoupling"]["retrain"] = "cee"
    with pytest.raises(UserError, match=r"losses\.decoupling\.retrain.*did you mean 'ce'"):
        plan_of(values)
    values["losses"]["decoupling"]["retrain"] = "ce"
    values["study"]["variants"][0]["members"] = ["clipp"]
    with pytest.raises(UserError, match=r"study\.variants\.0\.members.*did you mean 'clip'"):
        plan_of(values)


def test_the_default_run_estimates_q_of_species_on_their_training_split(root: Path) -> None:
    plan = plan_of(yaml.safe_load((root / "config.yaml").read_text()))
    assert plan.scope.zero_shot_splits_of("world_species") == ("test", "train")
    assert plan.scope.zero_shot_splits_of("world_places") == ("val", "test")
    job = plan.foundation.zero_shot_job(["clip"])
    assert [(t.dataset, d.split) for t in job.tasks for d in t.dumps][-2:] == [
        ("world_species", "test"),
        ("world_species", "train"),
    ]
    # The corpora know creatures, not species: there is no true prior to compare with.
    assert plan.bias.true_prior_inputs("world_species", "clip") == []
    assert "--true-list" not in plan.bias.prior_flags("world_species", "clip")
    assert "--true-list" in plan.bias.prior_flags("world_places", "clip")
    assert not any("/train.safetensors" in d for d in plan.dumps.all_dumps("world_species", "test"))


def test_a_variant_that_is_in_the_study_is_no_variant(values: dict[str, Any]) -> None:
    values["study"]["variants"] = [{"losses": ["la"], "seeds": [0, 1]}]
    assert [name for _, _, name in plan_of(values).tuning.variants] == ["adaptformer-la-1"] * 2


def test_knn_needs_a_validation_split(values: dict[str, Any]) -> None:
    plan = plan_of(values)
    dumps = plan.dumps.knn_dumps("world_places")
    # Zero-shot features and those of three losses, of the first of two PEFT entries.
    assert [Path(dump).parent.name for dump in dumps] == [
        "zero-shot-knn",
        "adaptformer-ce-0-knn",
        "adaptformer-la-0-knn",
        "adaptformer-gla_train-0-knn",
    ]
    assert set(dumps) < set(plan.dumps.scored_dumps("world_places"))
    assert not set(dumps) & set(plan.dumps.validation_dumps("world_places"))
    assert plan.scores.knn_flags("world_places").endswith("--k 200 --temperature 0.1")
    values["datasets"]["world_objects"] |= {"val": None, "prior_split": "test"}
    without = plan_of(values).dumps.scored_dumps("world_objects")
    assert not [dump for dump in without if "-knn/" in dump]


def test_what_is_trained_from_scratch_follows_the_study(values: dict[str, Any]) -> None:
    plan = plan_of(values)
    job = plan.scratch.job(plan.scope.scratch_variants)
    assert [(t.dataset, t.loss, t.seed) for t in job.tasks] == [
        ("world_objects", "la", 0),
        ("world_objects", "la", 1),
    ]
    outputs = plan.scratch.outputs()
    assert [d.out.as_posix() for t in job.tasks for d in t.dumps] == outputs["dumps"]
    assert set(outputs["dumps"]) <= {
        dump for s in ("val", "test") for dump in plan.dumps.all_dumps("world_objects", s)
    }
    assert not plan.dumps.scratch_dumps("world_places", "test")
    assert job.tasks[0].train_pack.as_posix() in plan.scratch.inputs()
    values["jobs"]["scratch"] = "seed"
    plan = plan_of(values)
    (pattern,) = plan.scratch.outputs()["weights"]
    names = plan.scope.scratch_variants
    jobs = [plan.scratch.job(plan.scratch.bundled({"scratch": name})) for name in names]
    assert [job.tasks[0].weights.as_posix() for job in jobs] == [
        pattern.format(scratch=name) for name in names
    ]
    assert plan.scratch.label == "{scratch}"


def test_without_its_dataset_or_loss_figure_9_is_left_out(values: dict[str, Any]) -> None:
    values["study"]["datasets"] = ["world_places"]
    plan = plan_of(values)
    assert plan.scratch.settings is None
    assert 9 not in plan.paper.figures
    assert "figure 9 is left out: it needs scratch.dataset in study.datasets" in "".join(
        plan.paper.left_out()
    )
    values["scratch"]["dataset"] = "world_place"
    with pytest.raises(UserError, match=r"scratch\.dataset: unknown dataset 'world_place'"):
        plan_of(values)
    for loss in ("gla_first", "decoupling"):
        values["scratch"] |= {"dataset": "world_places", "loss": loss}
        with pytest.raises(UserError, match=rf"scratch\.loss: '{loss}' needs a prior q or a first"):
            plan_of(values)


def test_the_six_classes_need_a_world_or_stable_diffusion(values: dict[str, Any]) -> None:
    plan = plan_of(values)
    job = plan.confounder.train_job()
    assert len(job.tasks) == 2 * 3
    made = [dump.as_posix() for task in job.tasks for dump in task.dumps.values()]
    assert sorted(made) == sorted(d for name in "AB" for d in plan.confounder.dumps(name))
    collected = plan.scores.collect_job()
    assert [p.as_posix() for p in collected.scores][-2:] == plan.confounder.scores()
    values["world"] = None
    for name, entry in values["foundation"].items():
        entry["weights"] = {"path": f"{name}.safetensors"}
    plan = plan_of(values)
    assert plan.confounder.settings is None
    assert (plan.confounder.scores(), plan.confounder.paper_inputs()) == ([], [])
    assert plan.paper.paper_job().confounder is None
    assert not {11, 12} & set(plan.paper.figures)
    assert 16 not in plan.paper.tables
    values["confounder"]["stable_diffusion"] = {"model": "sd"}
    plan = plan_of(values)
    assert {11, 12} <= set(plan.paper.figures)
    assert plan.confounder.draw_job().world is None
    values["confounder"] = None
    assert plan_of(values).confounder.settings is None


def test_the_code_of_the_scratch_loss_counts(values: dict[str, Any]) -> None:
    before = plan_of(values).code("train-scratch")
    values["scratch"]["loss"] = "ce"
    assert plan_of(values).code("train-scratch") != before


def test_re_ordered_training_sets_have_their_parents_test_split_and_prior(root: Path) -> None:
    plan = plan_of(yaml.safe_load((root / "config.yaml").read_text()))
    name = "world_places.reverse.2"
    assert plan.scope.reordered[name] == ("reverse", 2)
    assert len(plan.scope.reordered) == 9
    (task,) = plan.tuning.tune_job([(name, "clip", "adaptformer-la-0")]).tasks
    assert (
        task.train_pack.as_posix()
        == "results/world/reordered/world_places.reverse.2/train_32px.safetensors"
    )
    assert plan.scope.train_counts(name).startswith("results/world/reordered/")
    assert [d.pack.as_posix() for d in task.dumps] == [
        "results/world/packs/world_places/test_32px.safetensors"
    ]
    assert plan.dumps.all_dumps(name, "test") == [task.dumps[0].out.as_posix()]
    assert plan.dumps.validation_dumps(name) == plan.dumps.combined_dumps(name, "test") == []
    job = plan.reordered.reorder_job()
    assert job.prior.as_posix() == "results/world/priors/world_places/clip.csv"
    assert len({entry.out for entry in job.lists}) == 9
    assert name not in plan.scope.datasets


def test_cifar_at_three_ratios_has_the_groups_of_one(root: Path) -> None:
    from dualtail.config.document import read_config

    plan = Plan(read_config([root / "config.yaml", root / "config/cifar100.yaml"]))
    plan.check()
    sources = [plan.data.lists_job(dataset).source.cifar100 for dataset in plan.scope.datasets]
    assert [source.imbalance_factor for source in sources if source] == [100, 50, 10]
    for dataset in plan.scope.datasets:
        (counts,) = plan.scores.group_counts(dataset)
        assert counts in plan.data.made_files(dataset)
        assert plan.scope.splits_of(dataset) == ("train", "test")


def test_groups_go_by_training_counts_unless_a_file_is_named(values: dict[str, Any]) -> None:
    assert plan_of(values).scores.group_counts("world_places") == []
    values["datasets"]["world_places"]["group_counts"] = "other.csv"
    assert plan_of(values).scores.group_counts("world_places") == [
        "data/world/world_places/other.csv"
    ]


def test_only_training_splits_that_are_cropped_at_random_are_packed_whole(
    values: dict[str, Any],
) -> None:
    def whole(dataset: str) -> dict[str, Any]:
        splits = plan_of(values).data.pack_job(dataset).splits
        return {s.split: s.whole for s in splits}

    assert whole("world_objects") == {"train": None, "val": None, "test": None}
    values["packs"] = {"format": "jpeg", "jpeg_quality": 80}
    values["datasets"]["world_places"]["tuning"] = {"augmentation": {"crop_scale": [0.5, 1.0]}}
    assert whole("world_objects") == {"train": None, "val": None, "test": None}
    packs = plan_of(values).scope.config.packs
    assert whole("world_places") == {"train": packs, "val": None, "test": None}
    assert packs.jpeg_quality == 80


@pytest.mark.parametrize(
    ("packs", "message"),
    [
        ({"format": "png"}, r"packs\.format"),
        ({"jpeg_quality": 100}, r"packs\.jpeg_quality"),
        ({"raw_limit_gb": -1}, r"packs\.raw_limit_gb"),
        ({"quality": 90}, r"packs\.quality: unknown key"),
    ],
)
def test_wrong_pack_settings(values: dict[str, Any], packs: dict[str, Any], message: str) -> None:
    values["packs"] = packs
    with pytest.raises(UserError, match=message):
        plan_of(values)

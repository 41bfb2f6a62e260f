"""What a study consists of, against small studies counted by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dualtail.config.document import validate_config
from dualtail.config.model import Config
from dualtail.errors import UserError
from dualtail.study import (
    fused_sets,
    intervened,
    known_priors,
    predictions,
    prior_estimator,
    reordered,
    students,
    studies_of,
    tunings,
)
from dualtail.study_table import Prediction

Study = Callable[..., Config]


@pytest.fixture
def study(root: Path) -> Study:
    """The config of the project with one dataset, two members, one PEFT and one seed; and changes."""

    def made(**changes: Any) -> Config:
        values = yaml.safe_load((root / "config.yaml").read_text())
        values |= {"scratch": None, "confounder": None, "fusion": {"modes": ["logits"]}}
        values["pefts"]["vpt"].pop("seeds", None)
        values["study"] = {
            "datasets": ["world_objects"],
            "members": ["clip", "openclip"],
            "pefts": ["adaptformer"],
            "losses": ["ce", "la"],
            "seeds": [0],
        }
        for path, value in changes.items():
            *sections, key = path.split("__")
            section = values
            for name in sections:
                section = section.setdefault(name, {})
            section[key] = value
        return validate_config(values)

    return made


def names(rows: list[Prediction], **wanted: Any) -> list[str]:
    return [
        f"{row.dataset}/{row.members}/{row.variant}".removeprefix("world_objects/")
        for row in rows
        if all(getattr(row, key) == value for key, value in wanted.items())
    ]


def test_a_small_study_by_hand(study: Study) -> None:
    rows = predictions(study())
    assert names(rows, kind="zero-shot") == ["clip/zero-shot", "openclip/zero-shot"]
    tuned = ["adaptformer-ce-0", "adaptformer-la-0"]
    assert names(rows, kind="tuned") == [f"{m}/{t}" for m in ("clip", "openclip") for t in tuned]
    assert names(rows, kind="adjusted") == [
        f"{m}/adaptformer-ce-0-{a}"
        for m in ("clip", "openclip")
        for a in ("gla", "gla-zs", "gla-ft", "gla-scaled")
    ]
    assert names(rows, kind="fused") == [
        "clip+openclip/zero-shot-logits",
        "clip+openclip/adaptformer-la-0-logits",
    ]
    assert names(rows, kind="knn") == [f"clip/{v}-knn" for v in ("zero-shot", *tuned)]
    assert len(rows) == 2 + 4 + 8 + 2 + 3
    assert (
        Prediction(
            kind="adjusted",
            dataset="world_objects",
            members="openclip",
            variant="adaptformer-ce-0-gla-zs",
            peft="adaptformer",
            loss="ce",
            seed=0,
            adjustment="gla-zs",
        )
        in rows
    )


def test_a_prediction_has_one_file(study: Study) -> None:
    config = study(
        study__datasets=["world_objects", "world_places", "world_species"],
        study__members=["clip", "openclip", "metaclip"],
        study__pefts=["adaptformer", "vpt"],
        study__seeds=[0, 1],
        study__variants=[{"losses": ["gla_first", "ce"], "seeds": [0, 5]}],
        fusion__modes=["logits", "probabilities"],
    )
    rows = predictions(config)
    assert len({row[1:4] for row in rows}) == len(rows)


def test_seeds_are_those_of_the_peft(study: Study) -> None:
    config = study(study__pefts=["adaptformer", "vpt"], study__seeds=[0, 1], pefts__vpt__seeds=[7])
    assert [t.name for t in tunings(config)] == [
        f"{peft}-{loss}-{seed}"
        for peft, loss, seed in [
            *(("adaptformer", loss, seed) for loss in ("ce", "la") for seed in (0, 1)),
            *(("vpt", loss, 7) for loss in ("ce", "la")),
        ]
    ]


def test_the_seeds_of_one_model_are_an_ensemble(study: Study) -> None:
    assert not names(predictions(study()), fusion="ensemble")
    rows = predictions(study(study__seeds=[0, 1, 2]))
    assert names(rows, fusion="ensemble") == ["clip/adaptformer-la-ensemble"]
    with pytest.raises(UserError, match="'ensemble' names the ensemble of one model's seeds"):
        study(fusion__rules={"ensemble": {"method": "logits"}})


def test_what_is_explained_is_of_the_first_peft_and_its_first_seed(study: Study) -> None:
    config = study(
        study__pefts=["vpt", "adaptformer"], study__seeds=[0, 1], pefts__vpt__seeds=[7, 8]
    )
    explained = names(predictions(config), explained=True)
    single = [
        f"{m}/{v}" for m in ("clip", "openclip") for v in ("zero-shot", "vpt-ce-7", "vpt-la-7")
    ]
    fused = ["clip+openclip/zero-shot-logits", "clip+openclip/vpt-la-7-logits"]
    assert sorted(explained) == sorted(single + fused)


def test_only_the_fusion_of_all_members_is_explained(study: Study) -> None:
    config = study(study__members=["clip", "openclip", "metaclip"])
    fused = names(predictions(config), kind="fused", explained=True)
    assert fused == [
        f"clip+openclip+metaclip/{v}-logits" for v in ("zero-shot", "adaptformer-la-0")
    ]
    assert len(names(predictions(config), kind="fused")) == 4 * 2


def test_fitted_modes_are_not_explained(study: Study) -> None:
    """There is nothing to fit on among images with a part hidden."""
    config = study(
        fusion__modes=["logits", "best", "warm"],
        fusion__rules={
            "best": {"method": "logits", "weights": "fitted"},
            "warm": {"method": "probabilities", "calibrate": True},
        },
    )
    fused = predictions(config)
    assert {row.fusion for row in fused if row.kind == "fused"} == {"logits", "best", "warm"}
    assert {row.fusion for row in fused if row.kind == "fused" and row.explained} == {"logits"}


@pytest.mark.parametrize(("n", "sets"), [(1, 0), (2, 1), (3, 4), (5, 26), (6, 15 + 6 + 1)])
def test_fused_sets(n: int, sets: int) -> None:
    """Of six and more members: the pairs, all but one, and all."""
    members = list("abcdefgh"[:n])
    found = fused_sets(members)
    assert len(found) == len(set(found)) == sets
    assert all(1 < len(s.split("+")) <= n for s in found)


def test_fusion_follows_its_settings(study: Study) -> None:
    changes = {"modes": ["probabilities"], "losses": ["ce", "la"], "zero_shot": False}
    fused = names(predictions(study(fusion=changes)), kind="fused")
    assert fused == [f"clip+openclip/adaptformer-{loss}-0-probabilities" for loss in ("ce", "la")]
    assert names(predictions(study(study__members=["clip"])), kind="fused") == []


def test_only_ce_is_adjusted(study: Study) -> None:
    config = study(study__losses=["la"])
    assert names(predictions(config), kind="adjusted") == []


def test_variants_are_tunings_of_single_models(study: Study) -> None:
    """Of the model, PEFT and seeds that single-model tables show, if nothing else is said."""
    base = predictions(study())
    config = study(study__variants=[{"losses": ["gla_first", "gla_train", "decoupling"]}])
    more = [row for row in predictions(config) if row not in base]
    assert names(more) == [
        "clip/adaptformer-gla_first-0",
        "clip/adaptformer-gla_train-0",
        "clip/adaptformer-decoupling-0",
        # Of the re-trained heads, only one has features of its own: those of its first stage.
        "clip/adaptformer-gla_train-0-knn",
    ]
    assert not any(row.explained or row.fusion or row.adjustment for row in more)
    assert [row for row in predictions(config) if row in base] == base


def test_variants_say_what_they_are_of(study: Study) -> None:
    config = study(
        study__datasets=["world_objects", "world_places"],
        study__variants=[
            {
                "losses": ["bs"],
                "datasets": ["world_places"],
                "members": ["openclip"],
                "pefts": ["vpt"],
                "seeds": [3, 4],
            }
        ],
    )
    found = [row for row in predictions(config) if row.loss == "bs"]
    assert names(found) == [f"world_places/openclip/vpt-bs-{seed}" for seed in (3, 4)]
    assert {row.kind for row in found} == {"tuned"}


def test_a_variant_of_a_dataset_that_is_not_studied_is_left_out(study: Study) -> None:
    config = study(
        study__datasets=["world_places"],
        study__variants=[{"losses": ["bs"], "datasets": ["world_objects"]}],
    )
    assert not [row for row in predictions(config) if row.loss == "bs"]


def test_students_with_what_they_are_compared_with(study: Study) -> None:
    losses = {"losses": ["la_more", "distill"], "seeds": [0]}
    trio = ["clip", "openclip", "metaclip"]
    (found,) = students(study(study__members=trio, study__variants=[losses]))
    assert {role: (row.members, row.variant) for role, row in found.items()} == {
        "start": ("clip", "adaptformer-la-0"),
        "control": ("clip", "adaptformer-la_more-0"),
        "student": ("clip", "adaptformer-distill-0"),
        "teachers fused": ("clip+openclip+metaclip", "adaptformer-la-0-logits"),
    }
    # One of the teachers is no member here, and nobody trains the control.
    (found,) = students(study(study__variants=[losses | {"losses": ["distill"]}]))
    assert list(found) == ["start", "student"]


def test_a_variant_that_is_in_the_grid_is_there_once(study: Study) -> None:
    config = study(study__variants=[{"losses": ["ce", "la"], "members": ["clip", "openclip"]}])
    assert predictions(config) == predictions(study())


def test_there_is_no_knn_without_val(study: Study) -> None:
    config = study(study__datasets=["world_species", "world_objects"])
    rows = predictions(config)
    assert config.datasets["world_species"].val is None
    assert names(rows, kind="knn", dataset="world_species") == []
    assert len(names(rows, kind="knn", dataset="world_objects")) == 3


def test_reordered_training_sets_are_datasets_of_one_tuning(study: Study) -> None:
    rows = predictions(study(study__datasets=["world_objects", "world_places"]))
    found = [row for row in rows if row.dataset.count(".") == 2]
    assert names(found) == [
        f"world_places.{order}.{n}/clip/adaptformer-la-0"
        for order in ("consistency", "reverse", "balance")
        for n in (1, 2, 3)
    ]
    assert {(row.kind, row.explained) for row in found} == {("tuned", False)}


def test_the_network_from_scratch_is_of_one_dataset(study: Study) -> None:
    config = study(
        study__datasets=["world_objects", "world_places"],
        scratch={"dataset": "world_places", "loss": "ce", "seeds": [2, 3]},
    )
    found = [row for row in predictions(config) if row.kind == "scratch"]
    network = config.scratch.training.architecture if config.scratch else ""
    assert names(found) == [f"world_places/{network}/scratch-ce-{seed}" for seed in (2, 3)]
    assert [(row.loss, row.seed, row.peft) for row in found] == [("ce", 2, ""), ("ce", 3, "")]


def test_priors_are_known_of_what_is_pre_trained_here_and_told_apart(study: Study) -> None:
    config = study(
        study__datasets=["world_objects", "world_species"],
        foundation__openclip__weights="openai",
        foundation__openclip__architecture="ViT-B-16",
        foundation__openclip__transform="clip",
    )
    assert known_priors(config) == [("world_objects", "clip")]


def test_a_prior_on_images_that_are_trained_on_is_cross_fitted(study: Study) -> None:
    trained_on = {"datasets__world_objects__prior_split": "train"}
    assert prior_estimator(study(), "world_objects") == "exact"
    assert prior_estimator(study(**trained_on), "world_objects") == "cross-fitted"
    other = study(**trained_on, prior__estimator="calibrated")
    assert prior_estimator(other, "world_objects") == "calibrated"


@pytest.mark.parametrize(
    "occlusion",
    [
        None,
        {"table": "mine.csv", "conditions": {"both": "b", "body_hidden": "c", "head_hidden": "d"}},
        {"table": "pairs.csv", "conditions": {"both": "b", "body_hidden": "c"}},
    ],
)
def test_images_of_another_kind_have_no_known_truth(
    study: Study, occlusion: dict[str, Any] | None
) -> None:
    datasets = ["world_objects", "world_places", "world_species"]
    config = study(study__datasets=datasets, datasets__world_objects__occlusion=occlusion)
    assert intervened(config) == datasets[1:]
    assert intervened(study(study__datasets=datasets)) == datasets


def test_what_has_one_seed_has_the_first_of_its_peft(study: Study) -> None:
    config = study(
        study__datasets=["world_objects", "world_places"],
        study__pefts=["adaptformer", "vpt"],
        study__seeds=[3, 4],
        pefts__adaptformer__seeds=[6, 5],
    )
    rows = predictions(config)
    assert {row.seed for row in rows if row.dataset in reordered(config)} == {6}
    assert {row.seed for row in rows if row.explained} == {None, 6}
    assert {row.peft for row in rows if row.kind == "knn"} == {"", "adaptformer"}


def test_studies_that_a_run_can_make(study: Study) -> None:
    first = ["frontier", "prior", "interventional"]
    assert studies_of(study()) == [*first, "fusion_weights"]
    both = study(fusion__modes=["logits", "probabilities"])
    assert studies_of(both) == [*first, "logits_probabilities", "fusion_weights"]
    alone = study(study__members=["clip"], fusion__modes=["logits", "probabilities"])
    assert "logits_probabilities" not in studies_of(alone)
    nothing = {"modes": ["logits", "probabilities"], "zero_shot": False, "losses": []}
    assert studies_of(study(fusion=nothing)) == first
    foreign = study(
        study__members=["clip"],
        study__datasets=["mine"],
        datasets__mine={"label": "Mine", "root": "data/mine"},
        foundation__clip__weights={"path": "clip.safetensors"},
    )
    assert studies_of(foreign) == ["frontier"]
    whole = study(study__variants=[{"losses": ["la_more", "distill"], "seeds": [0]}])
    assert studies_of(whole)[-1] == "student"

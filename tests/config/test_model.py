"""The config: what the repository has, and one line for every mistake."""

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from dualtail.config.document import read_config, validate_config
from dualtail.config.model import Config
from dualtail.errors import UserError


@pytest.fixture
def values(root: Path) -> dict[str, Any]:
    return yaml.safe_load((root / "config.yaml").read_text())


def test_config_yaml_loads_and_is_short_and_without_null(
    root: Path, values: dict[str, Any]
) -> None:
    config = read_config([root / "config.yaml"])
    assert config.study.members == ["clip", "openclip", "metaclip"]
    assert len((root / "config.yaml").read_text().splitlines()) <= 250

    def leaves(node: Any) -> list[Any]:
        inner = node.values() if isinstance(node, dict) else node
        return [x for i in inner for x in leaves(i)] if isinstance(node, dict | list) else [node]

    assert None not in leaves(values)


def test_every_key_is_explained() -> None:
    """`config --all` has a line on each."""

    def sections(model: Any, seen: set[Any]) -> None:
        if isinstance(model, type) and issubclass(model, BaseModel):
            if model in seen:
                return
            seen.add(model)
            for name, field in model.model_fields.items():
                assert field.description, f"{model.__name__}.{name} has no description"
                sections(field.annotation, seen)
        for part in get_args(model):
            sections(part, seen)

    seen: set[Any] = set()
    sections(Config, seen)
    assert len(seen) > 10


def test_other_configs_hold_differences_only(root: Path, values: dict[str, Any]) -> None:
    files = sorted((root / "config").glob("*.yaml"))
    assert files
    for file in files:
        assert read_config([root / "config.yaml", file]).run == file.stem

        def same(change: Any, base: Any, path: str) -> None:
            if isinstance(change, dict) and isinstance(base, dict):
                for key, value in change.items():
                    if key in base:
                        same(value, base[key], f"{path}.{key}")
                return
            assert change != base, f"{file.name}: {path} says what config.yaml says already"

        same(yaml.safe_load(file.read_text()), values, "")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("sede: 1", "sede: unknown key, did you mean 'seed'?; allowed: run, results, seed"),
        ("tuning: {lrr: 1}", "tuning.lrr: unknown key, did you mean 'lr'?; allowed: epochs"),
        ("tuning: {lr: fast}", "tuning.lr: input should be a valid number"),
        (
            "tuning: {epochs: true}",
            "tuning.epochs: YAML reads this as true: write a number or text",
        ),
        ("tuning: {lr: no}", "tuning.lr: YAML reads this as false"),
        ("tuning: {lr: .inf}", "tuning.lr: "),
        (f"tuning: {{epochs: {10**26}}}", "tuning.epochs: "),
        ("study: {seeds: [0, true]}", "study.seeds: YAML reads this as true"),
        ("tuning: {lr: -1}", "tuning.lr: input should be greater than 0, not -1"),
        (
            "study: {members: [clap]}",
            "study.members: unknown foundation model 'clap', did you mean",
        ),
        ("tuning: {augmentation: {crop_scale: [0.5, 0.2]}}", "crop_scale must be"),
        ("tuning: {augmentation: {crop_scale: [0.5, 1.5]}}", "crop_scale must be"),
        (
            "tuning: {augmentation: {crop_scale: [0, 1]}}",
            "crop_scale.0: input should be greater than 0",
        ),
        (
            "scratch: {training: {architecture: resnet50, width: 8}}",
            "scratch.training: width: only resnet20, ",
        ),
        ("scratch: {training: {architecture: resnet33}}", "architecture: input should be"),
        ("scratch: {training: {momentum: 1.0}}", "scratch.training.momentum: input should be less"),
        ("scratch: {seeds: [3, 0, 3]}", "scratch.seeds: '3' is listed twice"),
        ("confounder: {train_per_class: 9}", "confounder.train_per_class: input should be greater"),
        ("confounder: {seeds: [1, 2, 1]}", "confounder.seeds: '1' is listed twice"),
        (
            "confounder: {stable_diffusion: {model: x, size: 513}}",
            "size: input should be a multiple",
        ),
        (
            "confounder: {stable_diffusion: {model: x, classes: {a: [b, c]}}}",
            "classes: dictionary should have at least 2 items",
        ),
        ("tuning: {head: {type: cosin}}", "tuning.head.type: input should be 'cosine', 'linear'"),
        (
            "prompts: {photo: openai-8}",
            "photo: unknown prompt set 'openai-8', did you mean 'openai",
        ),
        ("prompts: {photo: [3]}", "prompts.photo: a template must be text"),
        ("prompts: {photo: {descriptor: x.json}}", "unknown key, did you mean 'descriptors'"),
        ("losses: {focal: {options: {gama: 1}}}", "losses.focal.options.gama: unknown key, did"),
        ("study: {pefts: [lora]}", "study.pefts: unknown PEFT entry 'lora'; known: adaptformer"),
        ("pefts: {vpt: {seeds: [1, 1]}}", "pefts.vpt.seeds: '1' is listed twice"),
        ("study: {members: []}", "study.members: list should have at least 1 item"),
        ("fusion: {losses: [la, la]}", "fusion.losses: 'la' is listed twice"),
        ("datasets: {world_places: {label: World-Objects}}", "label: 'World-Objects' is that of"),
        ("foundation: {openclip: {label: CLIP}}", "label: 'CLIP' is that of 'clip', too"),
        ("pefts: {vpt: {label: AdaptFormer}}", "label: 'AdaptFormer' is that of 'adaptformer'"),
        ('pefts: {vpt: {label: "a\\nb"}}', "pefts.vpt.label: has a line break or a control"),
        (f"run: {'x' * 61}", "run: string should have at most 60 characters"),
        (f"prompts: {{{'x' * 61}: ['{{}}']}}", "prompts: name xxxxxxxxxxxxxxxxxxxx...: at most 60"),
        ("fusion: {modes: [votes]}", "fusion.modes: unknown entry of fusion.rules 'votes'"),
        (
            "fusion: {rules: {x: {method: logit}}}",
            "fusion.rules.x.method: unknown fusion rule 'logit', did you mean 'logits'?; known: "
            "logits, probabilities; one of your own is given as path/to/file.py:Class",
        ),
        (
            "fusion: {rules: {x: {method: no/file.py:Rule}}}",
            "fusion.rules.x.method: fusion rule 'no/file.py:Rule': no such file no/file.py",
        ),
        (
            "fusion: {rules: {logits: {weights: {clip: 1, openclip: 1, metaclip: 2}}}}",
            "fusion.rules.logits: logits is the paper's, with equal weights; give another rule",
        ),
        (
            "fusion: {modes: [x], rules: {x: {method: logits, weights: {clip: 1, openclip: 1}}}}",
            "fusion.rules.x.weights: no weight for the member 'metaclip'",
        ),
        (
            "fusion: {modes: [x], rules: {x: {method: logits, weights: {clop: 1}}}}",
            "fusion.rules.x.weights.clop: unknown foundation model 'clop', did you mean",
        ),
        (
            "losses: {again: {method: la, retrain: gla_train}}",
            "losses.again.retrain: 'gla_train' is a second stage itself; name the loss of its first",
        ),
        ("losses: {x: {method: la, start: la_more}}", "losses.x.start: 'la_more' is a second"),
        ("losses: {x: {method: la, start: la, retrain: ce}}", "losses.x.start: give either"),
        ("losses: {x: {method: distill, start: la}}", "losses.x.teacher: distill learns from"),
        (
            "losses: {x: {method: distill, start: la, teacher: [clap]}}",
            "losses.x.teacher: unknown foundation model 'clap', did you mean 'clip'",
        ),
        (
            "losses: {x: {method: distill, start: la, teacher: [clip, clip]}}",
            "losses.x.teacher: 'clip' is listed twice",
        ),
        (
            "fusion: {rules: {x: {method: logits, weights: fited}}}",
            "fusion.rules.x.weights: input should be 'equal' or 'fitted', not 'fited'",
        ),
        (
            "fusion: {rules: {x: {method: logits, weights: {clip: 0, openclip: 1, metaclip: 1}}}}",
            "fusion.rules.x.weights.clip: input should be greater than 0, not 0",
        ),
        ("losses: {x: {method: distill, teacher: [clip]}}", "losses.x.start: give the loss that"),
        ("losses: {x: {method: la, start: la, teacher: [clip]}}", "losses.x.teacher: la does not"),
        (
            "fusion: {rules: {x: {method: src/dualtail/bias/fusion_rules/logits.py:MeanLogits, "
            "weights: fitted}}}",
            "fusion.rules.x.weights: only those of logits and probabilities can be fitted",
        ),
        (
            "fusion: {rules: {logits: {calibrate: true}}}",
            "fusion.rules.logits: logits is the paper",
        ),
        ("fusion: {losses: [ldam]}", "fusion.losses: unknown loss of study.losses 'ldam'"),
        (
            "foundation: {clip: {prompts: foto}}",
            "foundation.clip.prompts: unknown prompt set 'foto'",
        ),
        ("foundation: {clip: {transform: x}}", "foundation.clip.transform: unknown transform 'x'"),
        (
            "foundation: {clip: {weights: {tag: openai}}}",
            "foundation.clip.weights: give exactly one of corpus, path, tag, hub",
        ),
        ("foundation: {clip: {weights: 'hf-hub:x'}}", "foundation.clip.weights: string should"),
        (
            "foundation: {mine: {label: Mine, architecture: ViT-B-16}}\nstudy: {members: [mine]}",
            "foundation.mine.weights: missing key: where its weights come from: a tag of open_clip",
        ),
        (
            "foundation: {mine: {label: Mine, weights: openai}}",
            "foundation.mine.architecture: missing key",
        ),
        ("foundation: {clip: {architecture: none.json}}", "architecture: none.json: no such file"),
        ("foundation: {clip: {weights: {corpus: clop}}}", "weights.corpus: unknown corpus 'clop'"),
        ("pefts: {x: {label: X, method: adaptfrmer}}", "unknown PEFT method 'adaptfrmer', did you"),
        (
            "datasets: {world_places: {tuning: {epoch: 3}}}",
            "world_places.tuning.epoch: unknown key",
        ),
        ("datasets: {'a-b': {label: x, root: y}}", "name 'a-b': allowed are letters"),
        ("datasets: {other: {root: x}}", "datasets.other.label: missing key: name in tables"),
        ("prompts: {photo: ['no slot']}", "prompt set 'photo': every template needs exactly one"),
        ("transforms: {world: {crop: 64}}", "crop 64 is larger than resize 32"),
        ("scores: {p_groups_from: clap}", "scores.p_groups_from: unknown member 'clap'"),
        ('pefts: {vpt: {label: " "}}', "pefts.vpt.label: is empty; write the name that tables"),
        ("scores: {few: 200}", "scores.few: must not exceed scores.many"),
        ("run: 'a/b'", "run: string should match pattern"),
        (
            "world: {unbiased: {x: clop}}",
            "world: unbiased.x: 'clop' is not one of the world's corpora",
        ),
        (
            "datasets: {world_places: {root: elsewhere}}",
            "datasets.world_places.root: is elsewhere, but it is data/world/world_places here",
        ),
        (
            "corpora: {clip: {root: x}}",
            "corpora.clip.root: is x, but it is data/world/corpora/clip",
        ),
        (
            "corpora: {clip: {sample: {dataset: world_places, size: 100}}}",
            "corpora.clip.sample: the world draws this: take another name, or set world: null",
        ),
        (
            "datasets: {world_places: {make_lists: {cifar100: {folder: x}}}}",
            "datasets.world_places.make_lists: the world draws this",
        ),
        (
            "datasets: {world_objects: {reordered: {samples: 1}}}",
            "datasets.world_objects.reordered: unknown dataset of world.pools 'world_objects'",
        ),
        (
            "corpora: {mine: {sample: {dataset: world_place, size: 100}}}",
            "corpora.mine.sample.dataset: unknown dataset 'world_place', did you mean",
        ),
        (
            "corpora: {mine: {sample: {dataset: world_places, list: test, size: 100}}}",
            "corpora.mine.sample.list: unknown list of world_places 'test'; known: train",
        ),
        (
            "datasets: {x: {label: X, root: here, make_lists: {cifar100: {folder: x}}}}",
            "datasets.x.root: is here, but it is results/world/lists/x here: leave it out",
        ),
        (
            "datasets: {x: {label: X, train: {list: a.txt}, make_lists: {cifar100: {folder: x}}}}",
            "datasets.x.train: make_lists writes train.txt, test.txt, classnames.txt, images.zip, "
            "group_counts.csv; a.txt is not train.txt among them",
        ),
        (
            "datasets: {x: {label: X, val: {images: i}, make_lists: {cifar100: {folder: x}}}}",
            "datasets.x.val: make_lists writes train.txt, test.txt",
        ),
        (
            "datasets: {x: {label: X, class_names: y, make_lists: {cifar100: {folder: x}}}}",
            "datasets.x.class_names: make_lists writes classnames.txt",
        ),
        (
            "datasets: {x: {label: X, make_lists: {cifar100: {folder: x}}}}\nstudy: {datasets: [x]}",
            "datasets.x.val: there is none, so there is no val split to estimate q on",
        ),
        ("studies: {controls: {a: [clip, openclip]}}", "studies.controls: a single set of models"),
        (
            "studies: {controls: {a: [clip, openclip], b: [clip, openclip, metaclip]}}",
            "studies.controls: 'b' has 3 models and 'a' 2: sets need equal sizes",
        ),
        (
            "studies: {controls: {a: [clip], b: [openclip]}}",
            "studies.controls: 'a': two models or more can be fused",
        ),
        (
            "studies: {controls: {a: [clip, clip], b: [clip, openclip]}}",
            "studies.controls: 'clip' is listed twice",
        ),
        (
            "studies: {controls: {a: [clip, clip.1], b: [clip, openclip]}}",
            "studies.controls.a: unknown foundation model 'clip.1', did you mean 'clip'",
        ),
    ],
)
def test_a_mistake_is_one_line_with_file_key_and_what_is_allowed(
    root: Path, tmp_path: Path, change: str, message: str
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(change)
    with pytest.raises(UserError) as caught:
        read_config([root / "config.yaml", file])
    text = str(caught.value)
    assert text.startswith(f"{file}: ")
    assert message in text
    assert "\n" not in text


def test_dataset_changes_apply_to_that_dataset_only(values: dict[str, Any]) -> None:
    values["datasets"]["world_places"]["tuning"] = {"epochs": 7, "augmentation": {"flip": True}}
    config = validate_config(values)
    assert config.tuning_of("world_places").epochs == 7
    assert config.tuning_of("world_places").lr == config.tuning.lr
    assert config.tuning_of("world_objects") == config.tuning


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("openai", "tag"),
        ("laion2b_s34b_b88k", "tag"),
        ("models/clip.safetensors", "path"),
        ("clip.pt", "path"),
        ("hf-hub:laion/CLIP-ViT-B-16", "hub"),
    ],
)
def test_weights_in_one_word_replace_a_corpus(
    root: Path, tmp_path: Path, text: str, kind: str
) -> None:
    """In an overlay, a mapping would be merged with the one of config.yaml."""
    (tmp_path / "mine.yaml").write_text(f"foundation: {{clip: {{weights: '{text}'}}}}")
    found = read_config([root / "config.yaml", tmp_path / "mine.yaml"]).foundation["clip"].weights
    assert found.model_dump(mode="json", exclude_none=True) == {kind: text}


def test_a_corpus_replaces_weights_in_one_word(root: Path, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("foundation: {clip: {weights: openai}}")
    (tmp_path / "b.yaml").write_text("foundation: {clip: {weights: {corpus: clip, seed: 3}}}")
    files = [root / "config.yaml", tmp_path / "a.yaml", tmp_path / "b.yaml"]
    found = read_config(files).foundation["clip"].weights
    assert (found.corpus, found.tag, found.seed) == ("clip", None, 3)


def test_the_controls_are_sets_of_models_that_differ_as_they_say(root: Path) -> None:
    config = read_config([root / "config.yaml", root / "config/controls.yaml"])
    world = config.world
    assert world is not None
    for label, models in config.studies.controls.items():
        weights = [config.foundation[model].weights for model in models]
        corpora, seeds = [w.corpus for w in weights], [w.seed or config.seed for w in weights]
        if "seeds" in label:
            assert len(set(corpora)) == 1
            assert seeds == [0, 1, 2]
        else:
            assert len(set(corpora)) == 3
            assert seeds == [0, 0, 0]
        assert all((c in world.unbiased) == ("without bias" in label) for c in corpora)
    assert len(config.studies.controls) == 5

"""The config: drift of generated files, and one line for every mistake."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from dualtail.config.document import commented_yaml, json_schema, read_config, validate_config
from dualtail.config.model import Config
from dualtail.default_config import default_config
from dualtail.errors import UserError


@pytest.fixture
def values(root: Path) -> dict[str, Any]:
    return yaml.safe_load((root / "config.yaml").read_text())


def test_config_yaml_is_what_the_models_generate(root: Path) -> None:
    assert (root / "config.yaml").read_text() == commented_yaml(default_config()), (
        "run `dualtail config > config.yaml`"
    )


def test_the_schema_is_what_the_models_generate(root: Path) -> None:
    schema = (root / "workflow/schemas/config.schema.json").read_text()
    assert schema == json_schema(), (
        "run `dualtail config --schema > workflow/schemas/config.schema.json`"
    )


def test_the_generated_yaml_reads_back_as_the_same_config(values: dict[str, Any]) -> None:
    assert validate_config(values) == default_config()


def test_every_key_of_the_yaml_is_explained(root: Path) -> None:
    """Each field of each section has a description, so that none goes without a comment."""

    def sections(model: Any, seen: set[Any]) -> None:
        from typing import get_args

        from pydantic import BaseModel

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


def test_the_schema_refuses_unknown_keys_everywhere() -> None:
    import json

    definitions = json.loads(json_schema())
    for name, section in [("", definitions), *definitions["$defs"].items()]:
        assert section["additionalProperties"] is False, name


def test_other_configs_hold_differences_only(root: Path, values: dict[str, Any]) -> None:
    files = sorted((root / "config").glob("*.yaml"))
    assert files
    for file in files:
        config = read_config([root / "config.yaml", file])
        assert config != default_config()

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
        ("tuning: {lr: -1}", "tuning.lr: input should be greater than 0, not -1"),
        ("tuning: {epochs: 0}", "tuning.epochs: input should be greater than 0"),
        ("tuning: {augmentation: {flop: true}}", "tuning.augmentation.flop: unknown key"),
        (
            "study: {members: [clap]}",
            "study.members: unknown foundation model 'clap', did you mean",
        ),
        ("study: {datasets: [world_place]}", "study.datasets: unknown dataset 'world_place', did"),
        ("study: {losses: [la, xe]}", "study.losses: unknown loss 'xe'"),
        ("tuning: {head: {type: cosin}}", "tuning.head.type: input should be 'cosine', 'linear'"),
        ("tuning: {head: {shots: 0}}", "tuning.head.shots"),
        ("tuning: {cosine_scale: 3}", "tuning.cosine_scale: unknown key"),
        (
            "prompts: {photo: openai-8}",
            "photo: unknown prompt set 'openai-8', did you mean 'openai",
        ),
        ("prompts: {photo: [3]}", "prompts.photo: a template must be text"),
        ("prompts: {photo: {descriptor: x.json}}", "unknown key, did you mean 'descriptors'"),
        ("losses: {x: {method: focl}}", "losses.x.method: unknown loss 'focl', did you mean"),
        ("losses: {focal: {options: {gama: 1}}}", "losses.focal.options.gama: unknown key, did"),
        ("losses: {'a-b': {method: ce}}", "name 'a-b': allowed are letters"),
        ("study: {pefts: [lora]}", "study.pefts: unknown PEFT entry 'lora'; known: adaptformer"),
        ("study: {seeds: [0, 0]}", "study.seeds: '0' is listed twice"),
        ("study: {members: []}", "study.members: list should have at least 1 item"),
        (
            "fusion: {modes: [votes]}",
            "fusion.modes: unknown entry of fusion.rules 'votes'",
        ),
        ("fusion: {modes: [logits, logits]}", "fusion.modes: 'logits' is listed twice"),
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
            "fusion: {rules: {x: {method: logits, options: {p: 2}}}}",
            "fusion.rules.x.options.p: unknown key",
        ),
        ("fusion: {rules: {a-b: {method: logits}}}", "name 'a-b': allowed are letters"),
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
            "fusion: {rules: {x: {method: logits, weights: {clip: 0}}}}",
            "fusion.rules.x.weights.clip: input should be greater than 0",
        ),
        ("losses: {x: {method: no.py:Loss}}", "losses.x.method: loss 'no.py:Loss': no such file"),
        ("fusion: {losses: [ldam]}", "fusion.losses: unknown loss of study.losses 'ldam'"),
        (
            "foundation: {clip: {prompts: foto}}",
            "foundation.clip.prompts: unknown prompt set 'foto'",
        ),
        ("foundation: {clip: {transform: x}}", "foundation.clip.transform: unknown transform 'x'"),
        (
            "foundation: {clip: {weights: {tag: openai}}}",
            "give exactly one of corpus, path, tag, hub",
        ),
        ("foundation: {clip: {weights: {corpus: clop}}}", "weights.corpus: unknown corpus 'clop'"),
        ("foundation: {clip: {activation: relu}}", "input should be 'native' or 'quickgelu'"),
        ("pefts: {x: {label: X, method: adaptfrmer}}", "unknown PEFT method 'adaptfrmer', did you"),
        ("pefts: {vpt: {options: {promts: 3}}}", "pefts.vpt.options.promts: unknown key, did you"),
        (
            "datasets: {world_places: {tuning: {epoch: 3}}}",
            "world_places.tuning.epoch: unknown key",
        ),
        ("datasets: {'a-b': {label: x, root: y}}", "name 'a-b': allowed are letters"),
        ("datasets: {other: {label: x}}", "datasets.other.root: missing key"),
        ("prompts: {photo: ['no slot']}", "prompt set 'photo': every template needs exactly one"),
        ("transforms: {world: {views: six-crop}}", "transforms.world.views: input should be"),
        ("transforms: {world: {crop: 64}}", "crop 64 is larger than resize 32"),
        ("scores: {p_groups_from: clap}", "scores.p_groups_from: unknown member 'clap'"),
        ("scores: {few: 200}", "scores.few: must not exceed scores.many"),
        ("prior: {ridge: often}", "prior.ridge"),
        ("run: 'a/b'", "run: string should match pattern"),
        ("world: {corpus_sise: 3}", "world.corpus_sise: unknown key, did you mean 'corpus_size'?"),
        ("[1, 2]", "must be a mapping"),
        ("a: [", "not YAML"),
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
    assert message in text
    assert "\n" not in text
    assert text.startswith(str(file)) or "scores.few" in text or "exactly one of" in text


def test_a_missing_file_is_named(root: Path) -> None:
    with pytest.raises(UserError, match=r"none\.yaml: cannot be read"):
        read_config([root / "none.yaml"])


def test_dataset_changes_apply_to_that_dataset_only(values: dict[str, Any]) -> None:
    values["datasets"]["world_places"]["tuning"] = {"epochs": 7, "augmentation": {"flip": True}}
    config = validate_config(values)
    assert config.tuning_of("world_places").epochs == 7
    assert config.tuning_of("world_places").lr == config.tuning.lr
    assert config.tuning_of("world_objects") == config.tuning

"""Models named on the command line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dualtail.errors import UserError
from dualtail.files import sha256_file
from dualtail.foundation.loading import load_foundation
from dualtail.foundation.model_argument import parse_model, parse_models
from dualtail.foundation.settings import Transform
from dualtail.foundation.spec import ARCHITECTURES
from dualtail.foundation.weights_record import WeightsRecord, write_record

PROMPT = ["a photo of a {}."]


def test_the_papers_models_have_their_activation() -> None:
    found = {n: parse_model(n, templates=PROMPT) for n in ("clip", "openclip", "metaclip")}
    assert found["clip"].architecture == found["metaclip"].architecture == "ViT-B-16-quickgelu"
    assert found["openclip"].architecture == "ViT-B-16"
    assert [spec.tag for spec in found.values()] == ["openai", "laion2b_s34b_b88k", "metaclip_400m"]
    assert [spec.member for spec in found.values()] == list(found)
    assert (found["clip"].transform.resize, found["clip"].transform.crop) == (256, 224)


def test_a_tag_brings_its_normalization() -> None:
    spec = parse_model("ViT-B-16-SigLIP,webli", templates=PROMPT)
    assert spec.transform.mean == (0.5, 0.5, 0.5)
    assert parse_model("openclip", templates=PROMPT).transform.mean[0] == 0.48145466


@pytest.mark.parametrize(
    ("text", "architecture"),
    [
        ("ViT-B-16,openai", "ViT-B-16-quickgelu"),
        ("ViT-B-16-quickgelu,openai", "ViT-B-16-quickgelu"),
        ("ViT-B-16,laion2b_s34b_b88k", "ViT-B-16"),
        ("roberta-ViT-B-32,laion2b_s12b_b32k", "roberta-ViT-B-32"),
    ],
)
def test_a_tag_brings_its_activation(text: str, architecture: str) -> None:
    spec = parse_model(text, templates=PROMPT)
    assert spec.architecture == architecture
    assert spec.member == f"{architecture},{spec.tag}"
    forced = parse_model(text, templates=PROMPT, activation="quickgelu")
    assert forced.architecture == text.partition(",")[0], "QuickGELU whatever it was trained with"


def test_weights_and_architectures_from_files(tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    weights.touch()
    copy = tmp_path / "mine.json"
    copy.write_text((ARCHITECTURES / "world-vit-8.json").read_text())
    for architecture, name in (("world-vit-8", "world-vit-8"), (str(copy), "mine")):
        spec = parse_model(f"{architecture},{weights}", templates=PROMPT)
        assert (spec.architecture, spec.weights, spec.tag) == (name, weights, None)
        assert spec.member == f"{name},w"
        assert spec.transform.crop == 32
        assert spec.architecture_config is not None
    assert parse_model(f"ViT-B-32,{weights}", templates=PROMPT).architecture_config is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("klip", "did you mean 'clip'"),
        ("ViT-B-16", "ARCHITECTURE,TAG"),
        (",openai", "ARCHITECTURE,TAG"),
        ("ViT-B-61,openai", "no architecture 'ViT-B-61', did you mean 'ViT-B-16'"),
        ("ViT-B-16,opanai", "is no file, and ViT-B-16 has no tag 'opanai', did you mean 'openai'"),
        ("ViT-B-16,none.safetensors", "no such weights file"),
        ("world-vit-8,openai", "has no tags"),
        ("none.json,openai", "not a readable model config"),
    ],
)
def test_mistakes_are_one_line(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        parse_model(text, templates=PROMPT)
    assert "\n" not in str(caught.value)


def test_bad_prompts_and_repeated_models_are_refused() -> None:
    with pytest.raises(UserError, match=r"exactly one \{\}"):
        parse_model("clip", templates=["a photo"])
    with pytest.raises(UserError, match="given twice"):
        parse_models(["clip", "clip"], templates=PROMPT)


@pytest.fixture
def hub(hub_cache: Callable[..., Path]) -> Callable[..., Path]:
    """A cache of the hub with the config of hf-hub:me/model."""
    architecture = json.loads((ARCHITECTURES / "world-vit-8.json").read_text())
    config = {
        "model_cfg": architecture,
        "preprocess_cfg": {
            "mean": [0.5, 0.5, 0.5],
            "std": [0.25, 0.25, 0.25],
            "resize_mode": "squash",
        },
    }
    hub_cache("me/model", "open_clip_config.json", json.dumps(config).encode())
    return hub_cache


def test_a_model_of_the_hub_brings_its_architecture_and_normalization(
    hub: Callable[..., Path],
) -> None:
    spec = parse_model("hf-hub:me/model", templates=PROMPT)
    assert (spec.architecture, spec.hub, spec.tag) == ("model", "hf-hub:me/model", None)
    assert (spec.transform.resize, spec.transform.crop) == (36, 32)
    assert spec.transform.mean == (0.5, 0.5, 0.5)
    assert spec.transform.std == (0.25, 0.25, 0.25)
    with pytest.raises(UserError, match="`dualtail download hf-hub:me/model` fetches them"):
        load_foundation(spec)

    from open_clip.model import CLIP
    from safetensors.torch import save

    assert spec.architecture_config is not None
    content = save(CLIP(**spec.architecture_config).state_dict())
    file = hub("me/model", "open_clip_model.safetensors", content)
    _, found = load_foundation(spec)
    assert found == sha256_file(file)
    hub("me/model", "open_clip_model.safetensors", content, stated="0" * 64)
    with pytest.raises(UserError, match="has changed since it was recorded"):
        load_foundation(spec)


def test_the_config_of_a_hub_model_says_its_activation(hub: Callable[..., Path]) -> None:
    architecture = json.loads((ARCHITECTURES / "world-vit-8.json").read_text())
    config = {"model_cfg": architecture | {"quick_gelu": True}}
    hub("me/model", "open_clip_config.json", json.dumps(config).encode())
    spec = parse_model("world-vit-8,hf-hub:me/model", templates=PROMPT)
    with pytest.raises(UserError, match="trained with QuickGELU, world-vit-8 has GELU"):
        load_foundation(spec)


def test_an_architecture_may_stand_before_a_model_of_the_hub(hub: Callable[..., Path]) -> None:
    spec = parse_model("ViT-B-32,hf-hub:other/model@v1", templates=PROMPT)
    assert (spec.architecture, spec.hub) == ("ViT-B-32", "hf-hub:other/model@v1")
    assert spec.transform.crop == 224


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hf-hub:other/model", "not on this machine.*`dualtail download hf-hub:other/model`"),
        ("hf-hub:model", "a model on the hub is given as"),
        ("hf-hub:../x/y", "a model on the hub is given as"),
        ("ViT-B-61,hf-hub:me/model", "no architecture 'ViT-B-61'"),
        ("hf-hub:bad/model", "is not a config of open_clip"),
    ],
)
def test_mistakes_with_models_of_the_hub(hub: Callable[..., Path], text: str, message: str) -> None:
    hub("bad/model", "open_clip_config.json", b"[]")
    with pytest.raises(UserError, match=message) as caught:
        parse_model(text, templates=PROMPT)
    assert "\n" not in str(caught.value)


def test_a_record_of_fetched_weights_stands_for_its_file(
    hub: Callable[..., Path], tmp_path: Path
) -> None:
    file = hub("me/model", "open_clip_model.safetensors", b"weights")
    for revision, name in (("main", "hf-hub:me/model"), ("v2", "hf-hub:me/model@v2")):
        record = WeightsRecord(
            source=f"http://mirror:1/me/model/resolve/{revision}/open_clip_model.safetensors",
            file=file,
            bytes=7,
            sha256=sha256_file(file),
        )
        path = tmp_path / "clip.weights.json"
        write_record(path, record)
        spec = parse_model(f"world-vit-8,{path}", templates=PROMPT)
        assert (spec.hub, spec.record, spec.weights) == (name, path, None)
        assert spec.member == "world-vit-8,clip.weights"
        assert spec.architecture_config is not None
    path.write_text('{"a": 1}')
    with pytest.raises(UserError, match="not a record of weights"):
        parse_model(f"world-vit-8,{path}", templates=PROMPT)
    with pytest.raises(UserError, match=r"none\.json is no record of weights"):
        parse_model(f"world-vit-8,{tmp_path / 'none.json'}", templates=PROMPT)


def test_member_and_transform_can_be_given() -> None:
    own = Transform(resize=40, crop=32)
    spec = parse_model("openclip", templates="openai-80", member="b", transform=own)
    assert (spec.member, spec.transform, spec.templates) == ("b", own, "openai-80")

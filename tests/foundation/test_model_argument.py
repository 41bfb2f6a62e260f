"""Models named on the command line."""

from pathlib import Path

import pytest

from dualtail.errors import UserError
from dualtail.foundation.model_argument import parse_model, parse_models
from dualtail.foundation.spec import ARCHITECTURES

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
        ("ViT-B-16,opanai", "neither a file nor a tag of ViT-B-16, did you mean 'openai'"),
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

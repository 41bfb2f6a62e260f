"""Loading through open_clip: the same outputs as open_clip's own calls, and every refusal."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from dualtail.errors import UserError
from dualtail.files import sha256_file
from dualtail.foundation.loading import load_foundation, tokenizer_of
from dualtail.foundation.prompts import class_texts
from dualtail.foundation.settings import Transform
from dualtail.foundation.spec import ARCHITECTURES, FoundationSpec
from dualtail.foundation.tower_file import image_model, load_image_model
from dualtail.foundation.weights_record import WeightsRecord, write_record
from dualtail.foundation.zero_shot import ZeroShotModel, text_features

Load = Callable[[FoundationSpec], Any]
ARCHITECTURE = json.loads((ARCHITECTURES / "world-vit-8.json").read_text())


def make_spec(**changes: Any) -> FoundationSpec:
    values = {
        "member": "clip",
        "architecture": "world-vit-8",
        "architecture_config": ARCHITECTURE,
        "transform": Transform(resize=32, crop=32),
        "templates": ["a photo of a {}."],
    }
    return FoundationSpec.model_validate(values | changes)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from open_clip.model import CLIP

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "clip.safetensors"
    save_file(CLIP(**ARCHITECTURE).state_dict(), path)
    return path


def test_zero_shot_equals_open_clips_own_forward(checkpoint: Path) -> None:
    spec = make_spec(weights=checkpoint, templates=["a photo of a {}.", "a drawing of a {}."])
    model, _ = load_foundation(spec)
    names = ["sea_lion", "tench", "owl"]
    text = text_features(
        model, tokenizer_of(spec), class_texts(spec.templates, names), batch_size=2
    )
    images = torch.randn(5, 3, 32, 32)
    logits, features = ZeroShotModel(model, text)(images)
    tokens = tokenizer_of(spec)
    with torch.no_grad():
        parts = [
            model.encode_text(tokens([t.format(n) for n in ["sea lion", "tench", "owl"]]), True)
            for t in spec.templates
        ]
        mean = sum(parts) / 2
        mean = mean / mean.norm(dim=-1, keepdim=True)
        expected = model.logit_scale.exp() * model.encode_image(images, normalize=True) @ mean.T
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    assert features.shape == (5, ARCHITECTURE["vision_cfg"]["width"])


def test_classes_may_have_different_numbers_of_texts(checkpoint: Path) -> None:
    spec = make_spec(weights=checkpoint)
    model, _ = load_foundation(spec)
    texts = [["a", "b c", "d"], ["e"], ["f", "g"]]
    found = text_features(model, tokenizer_of(spec), texts, batch_size=2)
    for row, own in zip(found, texts, strict=True):
        with torch.no_grad():
            encoded = [model.encode_text(tokenizer_of(spec)([text]))[0] for text in own]
        mean = sum(vector / vector.norm() for vector in encoded) / len(own)
        torch.testing.assert_close(row, mean / mean.norm(), rtol=1e-4, atol=1e-5)


def test_texts_that_are_cut_are_said_and_equal_ones_refused(
    checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec = make_spec(weights=checkpoint)
    model, _ = load_foundation(spec)
    tokens = tokenizer_of(spec)
    long = "very " * 100
    text_features(model, tokens, [["a cat"], [f"a {long} dog"]])
    (message,) = caplog.messages
    assert message.startswith("1 of 2 prompts are longer than the ")
    assert "'a very very" in message
    with pytest.raises(UserError, match=r"reads 'a very .* alike .*: shorten the class names"):
        text_features(model, tokens, [[f"a {long} cat"], [f"a {long} dog"]])
    # Two classes of one name are no mistake of the prompts: reading the names says so.
    text_features(model, tokens, [["a missile"], ["a missile"]])


@pytest.mark.parametrize("load", [load_foundation, load_image_model])
def test_broken_weights_are_refused(checkpoint: Path, tmp_path: Path, load: Load) -> None:
    with pytest.raises(UserError, match="no such weights file"):
        load(make_spec(weights=tmp_path / "none.safetensors"))
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(checkpoint.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"cut\.safetensors: truncated"):
        load(make_spec(weights=cut))
    save_file({"x": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match=r"does not load into world-vit-8"):
        load(make_spec(weights=tmp_path / "other.safetensors"))


def test_unknown_architectures_and_tags_name_the_nearest() -> None:
    unknown = make_spec(architecture="ViT-B-61", architecture_config=None, tag="openai")
    with pytest.raises(UserError, match="no architecture 'ViT-B-61', did you mean 'ViT-B-16'"):
        load_foundation(unknown)
    tag = make_spec(architecture="ViT-B-16", architecture_config=None, tag="openia")
    with pytest.raises(UserError, match="has no tag 'openia', did you mean 'openai'"):
        load_foundation(tag)


@pytest.mark.parametrize(
    ("architecture", "weights", "message"),
    [
        (
            "ViT-B-16",
            {"tag": "openai"},
            "trained with QuickGELU, ViT-B-16 has GELU; use ViT-B-16-qu",
        ),
        ("ViT-B-16", {"tag": "metaclip_400m"}, "trained with QuickGELU, .* use ViT-B-16-quickgelu"),
        (
            "ViT-B-16-quickgelu",
            {"hub": "hf-hub:laion/CLIP-ViT-B-16-laion2B-s34B-b88K"},
            "trained with GELU, ViT-B-16-quickgelu has QuickGELU; use ViT-B-16",
        ),
    ],
)
def test_an_activation_that_the_weights_were_not_trained_with_is_refused(
    architecture: str, weights: dict[str, str], message: str
) -> None:
    """open_clip only warns, and computes nonsense. Refused before any file is looked for."""
    with pytest.raises(UserError, match=message):
        load_foundation(make_spec(architecture=architecture, architecture_config=None, **weights))


@pytest.mark.parametrize("load", [load_foundation, load_image_model])
def test_a_checkpoint_of_another_architecture_says_which_tensors_differ(
    checkpoint: Path, tmp_path: Path, load: Load
) -> None:
    wider = json.loads(json.dumps(ARCHITECTURE))
    wider["vision_cfg"]["width"] *= 2
    spec = make_spec(weights=checkpoint, architecture="wider", architecture_config=wider)
    width = ARCHITECTURE["vision_cfg"]["width"]
    with pytest.raises(
        UserError, match=r"does not load into wider: \d+ of another shape"
    ) as caught:
        load(spec)
    assert f"visual.class_embedding is {width} in the checkpoint and {2 * width} in" in str(
        caught.value
    )
    assert "\n" not in str(caught.value)

    state = load_file(checkpoint)
    del state["visual.proj"]
    state["visual.other"] = torch.zeros(1)
    save_file(state, tmp_path / "part.safetensors")
    with pytest.raises(UserError, match=r"1 missing from the checkpoint: visual\.proj") as caught:
        load(make_spec(weights=tmp_path / "part.safetensors"))
    assert "1 that the model does not have: visual.other" in str(caught.value)


@pytest.mark.parametrize("load", [load_foundation, load_image_model])
@pytest.mark.parametrize("form", ["safetensors", "pt", "pt with a header"])
def test_positions_of_another_image_size_are_not_interpolated(
    checkpoint: Path, tmp_path: Path, form: str, load: Load
) -> None:
    """open_clip would load it without a word."""
    file = checkpoint
    if form != "safetensors":
        file = tmp_path / "w.pt"
        state = load_file(checkpoint)
        torch.save(state if form == "pt" else {"state_dict": state, "epoch": 3}, file)
    larger = json.loads(json.dumps(ARCHITECTURE))
    larger["vision_cfg"]["image_size"] = 64
    spec = make_spec(weights=file, architecture="larger", architecture_config=larger)
    with pytest.raises(
        UserError, match=r"another image size .*visual\.positional_embedding is 17x"
    ):
        load(spec)


def test_weights_that_changed_since_they_were_recorded_are_refused(
    checkpoint: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(checkpoint.read_bytes())
    record = WeightsRecord(source="https://x", file=weights, bytes=1, sha256=sha256_file(weights))
    write_record(tmp_path / "r.json", record)
    spec = make_spec(hub="hf-hub:me/model", record=tmp_path / "r.json")
    _, found = load_foundation(spec)
    assert found == record.sha256
    with weights.open("r+b") as stream:
        stream.seek(-1, 2)
        stream.write(b"x")
    with pytest.raises(UserError, match="has changed since it was recorded"):
        load_foundation(spec)
    weights.unlink()
    with pytest.raises(UserError, match=r"the weights that .*r\.json names are gone"):
        load_foundation(spec)
    (tmp_path / "r.json").write_text("{}")
    with pytest.raises(UserError, match="not a record of weights"):
        load_foundation(spec)


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "w.pt")
    with pytest.raises(UserError, match="holds no state_dict of tensors"):
        load_foundation(make_spec(weights=tmp_path / "w.pt"))


@pytest.mark.parametrize("activation", ["native", "quickgelu"])
@pytest.mark.parametrize("half", [False, True])
def test_logits_are_those_of_the_model_that_open_clip_loads(
    checkpoint: Path, tmp_path: Path, activation: str, half: bool
) -> None:
    path = checkpoint
    if half:
        path = tmp_path / "half.safetensors"
        save_file({k: v.half() for k, v in load_file(checkpoint).items()}, path)
    spec = make_spec(weights=path, activation=activation)
    ours, weights_hash = load_image_model(spec)
    theirs, expected_hash = load_foundation(spec)
    assert weights_hash == expected_hash == sha256_file(path)
    text, images = torch.randn(4, 64), torch.randn(3, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(ours.visual(images), theirs.encode_image(images))
        for found in (ours, image_model(theirs)):
            for a, b in zip(
                ZeroShotModel(found, text)(images), ZeroShotModel(theirs, text)(images), strict=True
            ):
                assert torch.equal(a, b)


def test_an_offset_of_logits_is_read(checkpoint: Path, tmp_path: Path) -> None:
    state = load_file(checkpoint) | {"logit_bias": torch.tensor([-10.0])}
    save_file(state, tmp_path / "siglip.safetensors")
    found, _ = load_image_model(make_spec(weights=tmp_path / "siglip.safetensors"))
    assert found.logit_bias is not None
    assert found.logit_bias.item() == -10


@pytest.mark.parametrize("load", [load_foundation, load_image_model])
def test_weights_that_are_not_finite_are_refused(
    checkpoint: Path, tmp_path: Path, load: Load
) -> None:
    name = "visual.transformer.resblocks.1.mlp.c_fc.bias"
    for bad in (torch.nan, -torch.inf):
        tensors = load_file(checkpoint)
        tensors[name][3] = bad
        save_file(tensors, tmp_path / "bad.safetensors")
        with pytest.raises(UserError, match=f"bad.safetensors: {name} holds a NaN"):
            load(make_spec(weights=tmp_path / "bad.safetensors"))

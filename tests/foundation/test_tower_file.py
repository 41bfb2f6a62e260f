"""Towers read from files without open_clip: the same as through it, and every refusal."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from dualtail.errors import UserError
from dualtail.files import sha256_file
from dualtail.foundation.loading import load_foundation
from dualtail.foundation.settings import Transform
from dualtail.foundation.spec import ARCHITECTURES, FoundationSpec
from dualtail.foundation.tower_file import image_model, load_image_model
from dualtail.foundation.zero_shot import ZeroShotModel

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


def test_files_in_other_forms_are_loaded_by_open_clip(checkpoint: Path, tmp_path: Path) -> None:
    torch.save(load_file(checkpoint), tmp_path / "w.pt")
    found, _ = load_image_model(make_spec(weights=tmp_path / "w.pt"))
    expected, _ = load_image_model(make_spec(weights=checkpoint))
    for a, b in zip(found.visual.parameters(), expected.visual.parameters(), strict=True):
        assert torch.equal(a, b)


def test_broken_weights_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such weights file"):
        load_image_model(make_spec(weights=tmp_path / "none.safetensors"))
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(checkpoint.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"cut\.safetensors: truncated"):
        load_image_model(make_spec(weights=cut))
    save_file({"x": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match=r"does not load into world-vit-8"):
        load_image_model(make_spec(weights=tmp_path / "other.safetensors"))


def test_a_checkpoint_of_another_architecture_says_which_tensors_differ(
    checkpoint: Path, tmp_path: Path
) -> None:
    wider = json.loads(json.dumps(ARCHITECTURE))
    wider["vision_cfg"]["width"] *= 2
    spec = make_spec(weights=checkpoint, architecture="wider", architecture_config=wider)
    with pytest.raises(UserError, match=r"does not load into wider: \d+ of another") as caught:
        load_image_model(spec)
    assert "visual.class_embedding is 96 in the checkpoint and 192 in" in str(caught.value)
    state = load_file(checkpoint)
    del state["visual.proj"]
    state["visual.other"] = torch.zeros(1)
    save_file(state, tmp_path / "part.safetensors")
    with pytest.raises(UserError, match=r"1 missing from the checkpoint: visual\.proj") as caught:
        load_image_model(make_spec(weights=tmp_path / "part.safetensors"))
    assert "1 that the model does not have: visual.other" in str(caught.value)


def test_positions_of_another_image_size_are_not_interpolated(checkpoint: Path) -> None:
    larger = json.loads(json.dumps(ARCHITECTURE))
    larger["vision_cfg"]["image_size"] = 64
    spec = make_spec(weights=checkpoint, architecture="larger", architecture_config=larger)
    with pytest.raises(UserError, match=r"another image size .*positional_embedding is 17x96 in"):
        load_image_model(spec)


def test_open_clip_is_not_imported(checkpoint: Path) -> None:
    spec = make_spec(weights=checkpoint)
    code = f"""
import sys
from dualtail.foundation.spec import FoundationSpec
from dualtail.foundation.tower_file import load_image_model
load_image_model(FoundationSpec.model_validate_json({spec.model_dump_json()!r}))
print([name for name in ("open_clip", "torchvision", "torch._dynamo") if name in sys.modules])
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"

"""Zero-shot outputs of every kind of tower equal open_clip's own logits.

Small models with random weights, saved and loaded as a user's checkpoint would be; the towers are
those of ResNet CLIPs, SigLIP, EVA, ViT-L/14, CLIPA and CoCa, fewer and narrower layers.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from open_clip.coca_model import CoCa
from open_clip.model import CLIP, CustomTextCLIP
from PIL import Image
from safetensors.torch import save_file

from dualtail.errors import UserError
from dualtail.foundation.loading import load_foundation, tokenizer_of
from dualtail.foundation.open_clip_tower import from_open_clip
from dualtail.foundation.settings import Transform
from dualtail.foundation.spec import FoundationSpec
from dualtail.foundation.zero_shot import ZeroShotModel, text_features
from dualtail.outputs import read_outputs
from dualtail.tuning.backbone import BackboneShape

TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}


def timm(name: str, pool: str, proj: str | None, size: int) -> dict[str, Any]:
    return {
        "image_size": size,
        "timm_model_name": name,
        "timm_model_pretrained": False,
        "timm_pool": pool,
        "timm_proj": proj,
    }


TOWERS: dict[str, dict[str, Any]] = {
    "resnet": {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None},
        "text_cfg": TEXT,
    },
    "siglip": {
        "embed_dim": 192,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": timm("vit_tiny_patch16_224", "map", "none", 224),
        "text_cfg": TEXT | {"no_causal_mask": True, "proj_bias": True, "pool_type": "last"},
    },
    "eva": {
        "embed_dim": 24,
        "custom_text": True,
        "vision_cfg": timm("eva02_tiny_patch14_224", "token", None, 224),
        "text_cfg": TEXT,
    },
    "vit_l_14": {
        "embed_dim": 24,
        "vision_cfg": {
            "image_size": 56,
            "layers": 2,
            "width": 64,
            "patch_size": 14,
            "head_width": 16,
        },
        "text_cfg": TEXT,
    },
    "clipa": {
        "embed_dim": 24,
        "vision_cfg": {
            "image_size": 56,
            "layers": 2,
            "width": 64,
            "patch_size": 14,
            "head_width": 16,
            "no_ln_pre": True,
            "pool_type": "avg",
            "final_ln_after_pool": True,
        },
        "text_cfg": TEXT | {"pool_type": "last", "no_causal_mask": True},
    },
    "coca": {
        "embed_dim": 24,
        "custom_text": True,
        "vision_cfg": {
            "image_size": 56,
            "layers": 2,
            "width": 64,
            "patch_size": 14,
            "head_width": 16,
            "attentional_pool": True,
            "attn_pooler_heads": 2,
            "output_tokens": True,
        },
        "text_cfg": TEXT | {"context_length": 76, "embed_cls": True, "output_tokens": True},
        "multimodal_cfg": TEXT | {"context_length": 76, "attn_pooler_heads": 2},
    },
}
FEATURES = {"resnet": 24, "siglip": 192, "eva": 24, "vit_l_14": 64, "clipa": 24, "coca": 24}
"""Width of the features of a dump: CLS before the projection, or the projected embedding."""

NAMES = ["sea lion", "tench", "owl", "red panda"]


@pytest.fixture(scope="module", params=TOWERS)
def tower(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """Name and checkpoint of a model whose parameters are all random, its bias and scale too."""
    name = request.param
    config = {key: value for key, value in TOWERS[name].items() if key != "custom_text"}
    torch.manual_seed(0)
    kind = CLIP if "custom_text" not in TOWERS[name] else CustomTextCLIP
    model = (CoCa if "multimodal_cfg" in config else kind)(**config)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if key not in ("logit_scale", "logit_bias"):
                parameter.add_(0.05 * torch.randn_like(parameter))
    path = tmp_path_factory.mktemp(name) / "w.safetensors"
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, path)
    (path.parent / f"{name}.json").write_text(json.dumps(TOWERS[name]))
    return name, path


def spec_of(name: str, path: Path) -> FoundationSpec:
    size = TOWERS[name]["vision_cfg"]["image_size"]
    return FoundationSpec(
        member=name,
        architecture=f"small-{name}",
        architecture_config=TOWERS[name],
        weights=path,
        transform=Transform(resize=size, crop=size),
        templates=["a photo of a {}."],
    )


def reference_logits(name: str, path: Path, images: torch.Tensor) -> torch.Tensor:
    """open_clip alone: its factory, its tokenizer, its two encoders."""
    # Under a name without "siglip", for which open_clip would want to download a tokenizer.
    file = path.parent / f"tower_{list(TOWERS).index(name)}.json"
    file.write_text(json.dumps(TOWERS[name]))
    open_clip.add_model_config(file)
    model = open_clip.create_model(file.stem, pretrained=str(path)).eval()
    tokens = open_clip.get_tokenizer(file.stem)([f"a photo of a {n}." for n in NAMES])
    with torch.no_grad():
        text = model.encode_text(tokens, normalize=True)
        logits = model.logit_scale.exp() * model.encode_image(images, normalize=True) @ text.T
        return logits if model.logit_bias is None else logits + model.logit_bias


def test_logits_are_those_of_open_clip(tower: tuple[str, Path]) -> None:
    name, path = tower
    spec = spec_of(name, path)
    model, _ = load_foundation(spec)
    texts = [[f"a photo of a {n}."] for n in NAMES]
    zero_shot = ZeroShotModel(model, text_features(model, tokenizer_of(spec), texts))
    size = TOWERS[name]["vision_cfg"]["image_size"]
    images = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        logits, features = zero_shot(images)
    expected = reference_logits(name, path, images)
    assert expected.std(dim=1).min() > 1e-3  # or any model would pass
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    assert features.shape == (3, FEATURES[name])


@pytest.mark.parametrize("tower", ["resnet", "coca"], indirect=True)
def test_predict_writes_them(
    dualtail: Callable[..., object], tower: tuple[str, Path], tmp_path: Path
) -> None:
    name, path = tower
    size = TOWERS[name]["vision_cfg"]["image_size"]
    rng = np.random.default_rng(0)
    for label in ("owl", "tench"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        pixels = rng.integers(0, 256, (size * 8 // 7, size * 8 // 7, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / label / "0.png")
    out = tmp_path / "dump.safetensors"
    words = ["--model", f"{path.parent / name}.json,{path}", "--images", tmp_path / "photos"]
    dualtail("predict", *words, "--out", out)
    dump = read_outputs(out)
    assert dump.logits.shape == (2, 2)
    assert np.isfinite(dump.logits).all()
    assert dump.features is not None
    assert dump.features.shape == (2, FEATURES[name])


def test_towers_without_cls_cannot_be_tuned_and_say_so(tower: tuple[str, Path]) -> None:
    name, path = tower
    model, _ = load_foundation(spec_of(name, path))
    visual = model.get_submodule("visual")
    if name == "vit_l_14":
        assert BackboneShape.of(from_open_clip(visual)).layers == 2
        return
    with pytest.raises(UserError, match="tuning works on open_clip's ViT models"):
        from_open_clip(visual)

"""The short forward passes against open_clip's: values and gradients."""

import copy
import json
from pathlib import Path

import open_clip
import pytest
import torch

from dualtail.errors import UserError
from dualtail.foundation import towers
from dualtail.foundation.pretraining import build_model, tokenize

ARCHITECTURE = json.loads(
    (Path(towers.__file__).parent / "architectures" / "world-vit-8.json").read_text()
)
TOKENS = tokenize(["a lumrel.", "a photo of a bolvun.", "darmor"], 12)


def altered(**changes: object) -> dict:
    """The architecture with changed settings; keys such as vision_cfg__layers."""
    result = copy.deepcopy(ARCHITECTURE)
    for key, value in changes.items():
        *path, last = key.split("__")
        target = result
        for step in path:
            target = target[step]
        target[last] = value
    return result


def shaken(architecture: dict) -> open_clip.model.CLIP:
    """A model none of whose parameters is at a special value such as 0 or 1."""
    model = build_model(architecture, seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return model


@pytest.mark.parametrize(
    "architecture",
    [
        altered(),
        altered(vision_cfg__layers=1, text_cfg__layers=1),
        altered(vision_cfg__patch_size=16, vision_cfg__head_width=48, text_cfg__heads=4),
        altered(quick_gelu=True),
    ],
)
def test_features_and_gradients_are_open_clips(architecture: dict) -> None:
    model = shaken(architecture).train()
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    size = architecture["vision_cfg"]["patch_size"]
    encode = towers.CaptionEncoder(model, TOKENS)
    for ours, theirs in (
        (
            lambda: towers.image_features(model, towers.patches(images, size)),
            lambda: model.encode_image(images),
        ),
        (encode, lambda: model.encode_text(TOKENS)),
    ):
        gradients = []
        for forward in (ours, theirs):
            model.zero_grad(set_to_none=True)
            features = forward()
            (features * torch.arange(features.numel()).view_as(features).cos()).sum().backward()
            got = {n: q.grad for n, q in model.named_parameters() if q.grad is not None}
            gradients.append((features.detach(), got))
        torch.testing.assert_close(gradients[0][0], gradients[1][0], atol=2e-5, rtol=1e-4)
        assert gradients[0][1].keys() == gradients[1][1].keys()
        for name, gradient in gradients[1][1].items():
            torch.testing.assert_close(
                gradients[0][1][name], gradient, atol=2e-4, rtol=1e-3, msg=name
            )


def test_captions_follow_the_parameters() -> None:
    """Nothing but the frozen token embedding is kept from one call to the next."""
    model = shaken(ARCHITECTURE)
    encode = towers.CaptionEncoder(model, TOKENS)
    with torch.no_grad():
        before = encode()
        for name, parameter in model.named_parameters():
            if name != "token_embedding.weight":
                parameter *= 1.3
        torch.testing.assert_close(encode(), model.encode_text(TOKENS), atol=1e-4, rtol=1e-4)
        assert not torch.allclose(encode(), before)


@pytest.mark.parametrize(
    "changes",
    [
        {"vision_cfg__ls_init_value": 0.1},
        {"vision_cfg__pool_type": "avg"},
        {"vision_cfg__no_ln_pre": True},
        {"vision_cfg__attentional_pool": True},
        {"vision_cfg__layers": [1, 1, 1, 1], "vision_cfg__width": 16},
        {"text_cfg__no_causal_mask": True},
        {"text_cfg__embed_cls": True},
        {"text_cfg__proj_type": "none", "text_cfg__width": 64},
        {"text_cfg__ls_init_value": 0.1},
    ],
    ids=str,
)
def test_other_architectures_are_refused_or_right(changes: dict) -> None:
    """What the short passes leave out is refused, unless it happens to be done right."""
    model = shaken(altered(**changes))
    with pytest.raises(UserError, match="cannot be pre-trained"):
        towers.check_towers(model, TOKENS)

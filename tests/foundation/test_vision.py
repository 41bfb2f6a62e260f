"""Our tower against open_clip's, to the bit, and every model that it refuses."""

import copy
import json
from typing import Any

import pytest
import torch
from open_clip.model import CLIP

from dualtail.errors import UserError
from dualtail.foundation.open_clip_tower import from_open_clip, not_plain
from dualtail.foundation.spec import ARCHITECTURES
from dualtail.foundation.vision import VisionTower, tower_sizes

WORLD = json.loads((ARCHITECTURES / "world-vit-8.json").read_text())
TEXT = {"width": 8, "heads": 1, "layers": 1, "context_length": 4, "vocab_size": 10}


def config_of(**vision: Any) -> dict[str, Any]:
    """Like a ViT-B/16, with fewer and narrower blocks."""
    own = {"image_size": 48, "patch_size": 16, "width": 128, "layers": 2, **vision}
    return {"embed_dim": 32, "vision_cfg": own, "text_cfg": TEXT}


CONFIGS = {
    "world-vit-8": WORLD,
    "photo-vit-16": json.loads((ARCHITECTURES / "photo-vit-16.json").read_text()),
    "like ViT-B-16": config_of(),
    "not square": config_of(image_size=[32, 64]),
    "layer scale": config_of(ls_init_value=0.3),
    "no ln_pre": config_of(no_ln_pre=True),
    "final norm after pooling": config_of(final_ln_after_pool=True),
    "patch dropout": config_of(patch_dropout=0.5),
}


def theirs(config: dict[str, Any], quick_gelu: bool = False, seed: int = 0) -> CLIP:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        parts = {**copy.deepcopy(config), "quick_gelu": quick_gelu}
        model = CLIP(**parts)
        with torch.no_grad():  # fresh towers have zero biases and unit norms, which hide mistakes
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def read(config: dict[str, Any], model: CLIP, quick_gelu: bool = False) -> VisionTower:
    """The tower that is built without open_clip, with the model's weights."""
    sizes = tower_sizes(config, "quickgelu" if quick_gelu else "native")
    assert sizes is not None
    tower = VisionTower.of_sizes(sizes)
    tower.load_state_dict(model.visual.state_dict())
    return tower.eval()


@pytest.mark.parametrize("quick_gelu", [False, True])
@pytest.mark.parametrize("name", CONFIGS)
def test_embeddings_are_those_of_open_clip_to_the_bit(name: str, quick_gelu: bool) -> None:
    config = CONFIGS[name]
    model = theirs(config, quick_gelu)
    visual: Any = model.visual
    images = torch.randn(3, 3, *visual.image_size, generator=torch.Generator().manual_seed(1))
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            expected = visual(images)
            for tower in (read(config, model, quick_gelu), from_open_clip(visual)):
                assert torch.equal(tower(images), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_too(dtype: torch.dtype) -> None:
    model = theirs(WORLD).to(dtype)
    images = torch.randn(2, 3, 32, 32).to(dtype)
    with torch.inference_mode():
        assert torch.equal(read(WORLD, model).to(dtype)(images), model.visual(images))


def test_parameters_have_open_clips_names_and_are_shared() -> None:
    model = theirs(CONFIGS["layer scale"])
    tower = from_open_clip(model.visual)
    names = dict(model.visual.named_parameters())
    found = dict(tower.named_parameters())
    assert found.keys() == names.keys()
    assert all(found[name] is names[name] for name in names)
    assert from_open_clip(tower) is tower


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"layers": (1, 1, 1, 1), "image_size": 64, "width": 16}, "is a ModifiedResNet"),
        ({"pool_type": "avg"}, "does not pool by its CLS token"),
        ({"attentional_pool": True, "attn_pooler_heads": 2}, "does not pool by its CLS token"),
        ({"qk_norm": True}, "has custom blocks"),
    ],
)
def test_other_towers_are_refused_and_not_built(changes: dict[str, Any], complaint: str) -> None:
    config = config_of(**changes)
    assert tower_sizes(config, "native") is None
    visual = theirs(config).visual
    assert complaint in not_plain(visual)
    with pytest.raises(UserError, match=f"{complaint}; tuning works on open_clip's ViT models"):
        from_open_clip(visual)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"embed_dim": 8, "vision_cfg": {}},
        config_of(timm_model_name="vit_tiny_patch16_224"),
        config_of(norm_kwargs={"eps": 1e-3}),
        config_of(width="128"),
    ],
)
def test_what_it_does_not_know_is_left_to_open_clip(config: dict[str, Any]) -> None:
    assert tower_sizes(config, "native") is None


@pytest.mark.parametrize("changes", [{"norm_kwargs": {"eps": 1e-3}}, {"act_kwargs": {}}])
def test_a_loaded_tower_keeps_its_own_norms_and_activations(changes: dict[str, Any]) -> None:
    if "act_kwargs" in changes:
        changes = {"act_kwargs": {"approximate": "tanh"}}
    visual: Any = theirs(config_of(**changes)).visual
    images = torch.randn(2, 3, 48, 48)
    assert torch.equal(from_open_clip(visual)(images), visual(images))

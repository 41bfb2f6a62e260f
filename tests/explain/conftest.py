"""A tuned model of a small tower with random weights."""

from collections.abc import Callable

import pytest
import torch
from open_clip.model import CLIP

from dualtail.foundation.open_clip_tower import from_open_clip
from dualtail.foundation.vision import VisionTower
from dualtail.tuning.heads import build_head
from dualtail.tuning.tuned_model import TunedModel, build_tuned_model

C, WIDTH = 5, 16


def make_visual(seed: int) -> VisionTower:
    vision = {
        "image_size": (8, 12),
        "patch_size": 4,
        "width": WIDTH,
        "layers": 3,
        "head_width": 8,
        "mlp_ratio": 2.0,
    }
    text = {"width": 8, "heads": 1, "layers": 1, "context_length": 4, "vocab_size": 10}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        visual = CLIP(6, vision, text).visual
        with torch.no_grad():
            for parameter in visual.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return from_open_clip(visual.eval())


@pytest.fixture
def make_model() -> Callable[..., TunedModel]:
    def make(peft: str = "adaptformer", seed: int = 0) -> TunedModel:
        generator = torch.Generator().manual_seed(seed)
        head = build_head("cosine", torch.randn(C, WIDTH, generator=generator), 25.0)
        model = build_tuned_model(
            make_visual(seed),
            head,
            peft=peft,
            peft_options={},
            precision="float32",
            seed=seed,
        )
        with torch.no_grad():  # methods start as the identity; here they must act
            for parameter in model.peft.parameters():
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
        return model

    return make

"""Operations and parameters, against closed forms and the published counts."""

import json
from typing import Any

import open_clip
import pytest
import torch

from dualtail.errors import UserError
from dualtail.estimate.model_cost import tuned_cost, zero_shot_cost
from dualtail.foundation.open_clip_tower import from_open_clip
from dualtail.foundation.settings import Transform
from dualtail.foundation.spec import ARCHITECTURES, FoundationSpec
from dualtail.tuning.cost import forward_gflops
from dualtail.tuning.heads import build_head
from dualtail.tuning.settings import HeadSettings
from dualtail.tuning.tuned_model import build_tuned_model


def spec_of(architecture: str, resize: int = 256, crop: int = 224) -> FoundationSpec:
    transform = Transform(resize=resize, crop=crop)
    return FoundationSpec(
        member="clip", architecture=architecture, transform=transform, templates=["{}"]
    )


def vit_b_16_gflops(adapter: int = 0) -> float:
    """Products of a ViT-B/16 at 224 px, by hand; the last block has one query row."""
    tokens, width, patches = 197, 768, 196
    embedding = 2 * patches * (3 * 16 * 16) * width

    def block(queries: int) -> int:
        projections = 2 * (2 * tokens + 2 * queries) * width * width  # keys, values; queries, out
        attention = 2 * 2 * queries * tokens * width
        ffn = 2 * 2 * queries * width * 4 * width
        return projections + attention + ffn + 2 * 2 * queries * width * adapter

    return (embedding + 11 * block(tokens) + block(1)) / 1e9


def test_the_zero_shot_cost_of_vit_b_16_is_what_the_shapes_say() -> None:
    cost = zero_shot_cost(spec_of("ViT-B-16"), 1000)
    head = 2 * 768 * 512 + 2 * 512 * 1000  # projection and class texts
    assert cost.gflops == pytest.approx(vit_b_16_gflops() + head / 1e9, rel=1e-6)
    assert (cost.width, cost.parameters) == (768, 0)


@pytest.mark.parametrize(
    ("classes", "bottleneck", "peft"),
    [(1000, 32, 617_868), (365, 8, 175_212), (8142, 256, 4_749_324)],
)
def test_adaptformer_has_the_published_parameters_and_its_operations(
    classes: int, bottleneck: int, peft: int
) -> None:
    options = {"bottleneck": "auto", "scale": 1.0}
    cost = tuned_cost(spec_of("ViT-B-16"), "adaptformer", options, HeadSettings(), classes)
    assert cost.parameters == peft + 768 * classes
    expected = vit_b_16_gflops(bottleneck) + 2 * 768 * classes / 1e9
    assert cost.gflops == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("method", ["adaptformer", "vpt-deep", "lora", "bias", "ssf", "full"])
def test_counting_needs_no_weights_and_not_another_device(method: str) -> None:
    """On the CPU, fused attention must not hide from the counter."""
    content = json.loads((ARCHITECTURES / "photo-vit-16.json").read_text())
    spec = spec_of("photo-vit-16", 64, 64).model_copy(update={"architecture_config": content})
    options: dict[str, Any] = {}
    cost = tuned_cost(spec, method, options, HeadSettings(), 50)
    visual = from_open_clip(open_clip.create_model("photo-vit-16").visual)
    head = build_head("cosine", torch.randn(50, 128), 25.0)
    model = build_tuned_model(
        visual,  # type: ignore[arg-type]
        head,
        peft=method,
        peft_options=options,
        precision="float32",
        seed=0,
    )
    assert cost.gflops == pytest.approx(forward_gflops(model, (64, 64)), rel=1e-6)
    assert cost.parameters == sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_a_tower_without_cls_token_has_a_zero_shot_cost() -> None:
    cost = zero_shot_cost(spec_of("RN50"), 100)
    assert cost.width == 1024
    assert 10 < cost.gflops < 15  # 5.4 G multiply-adds for the convolutions, and attention pooling


def test_mistakes_are_one_line() -> None:
    with pytest.raises(UserError, match="did you mean 'ViT-B-16'"):
        zero_shot_cost(spec_of("ViT-B-1"), 10)
    with pytest.raises(UserError, match="vision tower is a ModifiedResNet"):
        tuned_cost(spec_of("RN50"), "adaptformer", {}, HeadSettings(), 10)

import pytest
import torch

from dualtail.errors import UserError
from dualtail.foundation.open_clip_tower import from_open_clip
from dualtail.tuning.backbone import BackboneShape
from dualtail.tuning.head_start import text_weight
from dualtail.tuning.heads import CosineHead
from dualtail.tuning.tuned_model import (
    TunedModel,
    build_peft,
    build_tuned_model,
    trained_parameters,
)


def build(visual, peft="adaptformer", precision="float32", seed=0, **options):
    text = torch.randn(7, 6, generator=torch.Generator().manual_seed(9))
    return build_tuned_model(
        visual,
        CosineHead(text_weight(text, getattr(visual, "proj", None)), 25.0),
        peft=peft,
        peft_options=options,
        precision=precision,
        seed=seed,
    )


def randomize(model, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.peft.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize("peft", ["adaptformer", "vpt-deep"])
def test_only_peft_and_head_are_trained(make_visual, peft):
    model = build(make_visual(), peft)
    model.train()
    logits, features = model(torch.randn(4, 3, 8, 8))
    assert logits.shape == (4, 7)
    assert features.shape == (4, 16)
    logits.logsumexp(1).sum().backward()
    assert all(p.grad is None and not p.requires_grad for p in model.backbone.parameters())
    assert not any(module.training for module in model.backbone.modules())
    assert model.head.weight.grad is not None
    assert all(p.dtype == torch.float32 for p in [*model.peft.parameters(), model.head.weight])
    by_hand = {
        "adaptformer": 3 * (2 * 16 + (16 * 1 + 1) + (1 * 16 + 16) + 1),
        "vpt-deep": 3 * 10 * 16,
    }
    assert trained_parameters(model.peft) == by_hand[peft]
    assert trained_parameters(model) == by_hand[peft] + 7 * 16


@torch.inference_mode()
def test_before_training_logits_are_those_of_the_untouched_backbone(make_open_clip):
    theirs = make_open_clip()
    model = build(from_open_clip(theirs))
    images = torch.randn(4, 3, 8, 8)
    logits, features = model(images)
    theirs.proj = None
    expected = theirs(images)
    torch.testing.assert_close(features, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(logits, model.head(expected), rtol=1e-5, atol=1e-4)


def test_the_given_tower_is_left_alone(make_visual):
    visual = make_visual()
    images = torch.randn(2, 3, 8, 8)
    state = {name: tensor.clone() for name, tensor in visual.state_dict().items()}
    before = visual(images)
    model = build(visual, precision="bfloat16", bottleneck=3)
    randomize(model)
    model.features(images)
    assert torch.equal(visual(images), before)
    assert all(torch.equal(state[name], tensor) for name, tensor in visual.state_dict().items())
    assert all(p.requires_grad for p in visual.parameters())


@pytest.mark.parametrize("peft", ["adaptformer", "vpt-deep"])
def test_an_image_does_not_depend_on_its_batch(make_visual, peft):
    model = build(make_visual(), peft)
    randomize(model)
    images = torch.randn(6, 3, 8, 8)
    together, _ = model(images)
    for i in range(6):
        torch.testing.assert_close(
            model(images[i : i + 1])[0][0], together[i], rtol=1e-4, atol=1e-4
        )


def test_the_seed_fixes_the_start(make_visual):
    first, again, other = (build(make_visual(), seed=s).state_dict() for s in (1, 1, 2))
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert any(not torch.equal(first[k], other[k]) for k in first)


def test_mistakes(make_visual):
    visual = make_visual()
    shape = BackboneShape.of(visual)
    peft = build_peft("adaptformer", {}, shape, 7, seed=0)
    with pytest.raises(UserError, match="width 5"):
        TunedModel(visual, peft, CosineHead(torch.randn(7, 5), 25.0), "float32")
    with pytest.raises(UserError, match="unknown"):
        build(visual, "laro")
    with pytest.raises(UserError, match="bottelneck"):
        build(visual, bottelneck=3)

import pytest
import torch

from dualtail.errors import UserError
from dualtail.tuning.backbone import BackboneShape
from dualtail.tuning.head_start import text_weight
from dualtail.tuning.heads import CosineHead
from dualtail.tuning.tuned_model import (
    TunedModel,
    build_peft,
    build_tuned_model,
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

import copy
import math

import pytest
import torch

from dualtail.foundation.open_clip_tower import from_open_clip
from dualtail.tuning.backbone import BackboneShape, cls_feature
from dualtail.tuning.peft.vpt_deep import VptDeep
from dualtail.tuning.peft_options.vpt_deep import Options as VptDeepOptions
from dualtail.tuning.tuned_model import trained_parameters

VIT_B_16 = BackboneShape(
    width=768, layers=12, heads=12, ffn_width=3072, patch_size=(16, 16), image_size=(224, 224)
)


def attached(visual, n_prompts=4):
    visual = copy.deepcopy(visual).double().requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    peft = VptDeep(
        BackboneShape.of(visual), 10, VptDeepOptions(prompts=n_prompts), generator
    ).double()
    with torch.no_grad():
        for block in peft.blocks:
            block.prompts.mul_(5)
    peft.attach(visual)
    return visual, peft


def test_parameters_of_the_real_tower():
    peft = VptDeep(VIT_B_16, 365, VptDeepOptions(), torch.Generator().manual_seed(0))
    assert trained_parameters(peft) == 12 * 10 * 768
    bound = math.sqrt(6 / (3 * 16 * 16 + 768))
    values = torch.cat([block.prompts.flatten() for block in peft.blocks])
    assert values.abs().max() <= bound
    assert values.max() > 0.99 * bound
    assert values.min() < -0.99 * bound
    assert values.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert not torch.equal(peft.blocks[0].prompts, peft.blocks[1].prompts)


def test_against_a_loop_over_untouched_blocks(make_open_clip):
    """Append, run open_clip's whole block, drop; and again for the next block."""
    plain = make_open_clip(ls_init_value=0.5).double()
    visual, peft = attached(from_open_clip(plain))
    images = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    tokens = plain._embeds(images)
    n = tokens.shape[1]
    for block, own in zip(plain.transformer.resblocks, peft.blocks, strict=True):
        tokens = block(torch.cat([tokens, own.prompts.expand(3, -1, -1)], dim=1))[:, :n]
    expected = plain._pool(tokens)[0]
    torch.testing.assert_close(cls_feature(visual, images), expected, rtol=1e-9, atol=1e-9)
    visual.proj = None
    torch.testing.assert_close(visual(images), expected, rtol=1e-9, atol=1e-9)


def test_gradients_against_finite_differences(make_visual):
    visual, peft = attached(make_visual())
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    weights = torch.randn(2, 16, dtype=torch.float64)

    def value() -> torch.Tensor:
        return (cls_feature(visual, images) * weights).sum()

    value().backward()
    step = 1e-6
    for block in peft.blocks:
        direction = torch.randn_like(block.prompts)
        assert block.prompts.grad is not None
        analytic = (block.prompts.grad * direction).sum().item()
        with torch.no_grad():
            block.prompts.add_(step * direction)
            above = value().item()
            block.prompts.sub_(2 * step * direction)
            below = value().item()
            block.prompts.add_(step * direction)
        assert analytic == pytest.approx((above - below) / (2 * step), rel=1e-5, abs=1e-7)
        assert analytic != 0

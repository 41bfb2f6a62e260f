import copy

import pytest
import torch
from open_clip.transformer import QuickGELU

from dualtail.foundation.activation import QuickGelu
from dualtail.tuning.backbone import BackboneShape, cls_feature
from dualtail.tuning.fast_tower import use_fast_parts
from dualtail.tuning.peft_options import PEFT_OPTIONS
from dualtail.tuning.tuned_model import build_peft


def with_method(visual, method, dtype, fast):
    tower = copy.deepcopy(visual).requires_grad_(False).to(dtype)
    if fast:
        use_fast_parts(tower)
    else:
        for block in tower.blocks:
            if isinstance(block.mlp.gelu, QuickGelu):
                block.mlp.gelu = QuickGELU()
    peft = build_peft(method, {}, BackboneShape.of(visual), 60, seed=0)
    peft.start_from(visual)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in peft.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    peft.to(dtype).attach(tower)
    return tower, peft


@pytest.mark.parametrize("quick_gelu", [False, True])
@pytest.mark.parametrize(
    ("dtype", "rounding"), [(torch.float64, 1e-10), (torch.float32, 2e-5)], ids=["f64", "f32"]
)
@pytest.mark.parametrize("method", PEFT_OPTIONS)
def test_features_and_gradients_are_those_of_open_clip(
    make_visual, method, dtype, rounding, quick_gelu
):
    """Every method, on open_clip's own parts and on the fast ones."""
    visual = make_visual(quick_gelu=quick_gelu)
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(2), dtype=dtype)
    direction = torch.randn(4, 16, generator=torch.Generator().manual_seed(3), dtype=dtype)
    results = []
    for fast in (False, True):
        tower, peft = with_method(visual, method, dtype, fast)
        features = cls_feature(tower, images)
        gradients = torch.autograd.grad((features * direction).sum(), list(peft.parameters()))
        with torch.inference_mode():
            seen = cls_feature(tower, images)
        torch.testing.assert_close(seen, features.detach(), rtol=rounding, atol=rounding)
        results.append((features.detach(), *gradients))
    scale = max(value.abs().max().item() for value in results[0])
    for theirs, ours in zip(*results, strict=True):
        assert (ours - theirs).abs().max().item() <= rounding * scale

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dualtail.tuning.backbone import BackboneShape
from dualtail.tuning.peft.adaptformer import AdaptFormer, ParallelAdapter
from dualtail.tuning.peft.bottleneck import auto_bottleneck
from dualtail.tuning.peft_options.adaptformer import Options as AdaptFormerOptions
from dualtail.tuning.tuned_model import trained_parameters

VIT_B_16 = BackboneShape(
    width=768, layers=12, heads=12, ffn_width=3072, patch_size=(16, 16), image_size=(224, 224)
)


def attached(visual, seed=0, bottleneck=5):
    """An AdaptFormer in float64 whose every parameter is random."""
    visual = copy.deepcopy(visual).double().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    peft = AdaptFormer(
        BackboneShape.of(visual), 10, AdaptFormerOptions(bottleneck=bottleneck), generator
    ).double()
    with torch.no_grad():
        for parameter in peft.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.3 * noise)
    peft.attach(visual)
    return visual, peft


@pytest.mark.parametrize(
    ("n_classes", "bottleneck", "parameters"),
    [(1000, 32, 617_868), (365, 8, 175_212), (8142, 256, 4_749_324)],
)
def test_published_parameter_counts(n_classes, bottleneck, parameters):
    assert auto_bottleneck(n_classes, 12) == bottleneck
    peft = AdaptFormer(VIT_B_16, n_classes, AdaptFormerOptions(), torch.Generator())
    assert trained_parameters(peft) == parameters


@given(st.integers(1, 100_000), st.integers(1, 60))
def test_auto_bottleneck_is_the_formula(n_classes, layers):
    r = auto_bottleneck(n_classes, layers)
    ratio = n_classes / (2 * layers)
    assert r == max(1, 2 ** math.floor(math.log2(ratio)))


def test_layer_scale_does_not_touch_the_adapter(make_visual):
    """x + ls_2(FFN) + s up(relu(down(LN(x)))): one block, written with its parts."""
    visual, peft = attached(make_visual(ls_init_value=0.5))
    block, adapter = visual.transformer.resblocks[1], peft.adapters[1]
    x = torch.randn(2, 5, 16, dtype=torch.float64)
    normed = block.ln_1(x)
    middle = x + block.ls_1.gamma * block.attn(normed, normed, normed)[0]
    ffn = block.ls_2.gamma * block.mlp(block.ln_2.forward(middle))
    low = torch.relu(adapter.down(adapter.norm(middle)))
    expected = middle + ffn + adapter.scale * (low @ adapter.up.weight.T + adapter.up.bias)
    torch.testing.assert_close(block(x), expected, rtol=1e-10, atol=1e-10)


def test_down_is_kaiming_normal():
    """a = sqrt 5: gain sqrt(2 / 6), so std = sqrt(1 / (3 D))."""
    adapter = ParallelAdapter(300, 400, 1.0, torch.Generator().manual_seed(0))
    n = adapter.down.weight.numel()
    expected = math.sqrt(1 / (3 * 300))
    assert adapter.down.weight.std().item() == pytest.approx(expected, rel=4 / math.sqrt(2 * n))
    z = (adapter.down.weight / expected).flatten()
    assert (z.abs() > 1.96).float().mean().item() == pytest.approx(0.05, abs=0.003)

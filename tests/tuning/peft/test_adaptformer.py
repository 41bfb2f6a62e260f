import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dualtail.tuning.backbone import BackboneShape, cls_feature
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


@pytest.mark.parametrize("quick_gelu", [False, True])
def test_forward_follows_the_equation(make_visual, reference_features, quick_gelu):
    visual, peft = attached(make_visual(quick_gelu=quick_gelu))
    images = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    adapters = [dict(adapter.named_parameters()) for adapter in peft.adapters]
    expected = reference_features(visual, images, quick_gelu=quick_gelu, adapters=adapters)
    found = cls_feature(visual, images)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    plain = reference_features(visual, images, quick_gelu=quick_gelu)
    assert (found - plain).abs().max() > 0.01, "the adapter does nothing in this test"
    # The tower's own loop over the blocks sees the same adapters.
    visual.proj = None
    torch.testing.assert_close(visual(images), expected, rtol=1e-9, atol=1e-9)


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


def test_gradients_against_finite_differences(make_visual):
    visual, peft = attached(make_visual())
    images = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    weights = torch.randn(3, 16, dtype=torch.float64)

    def value() -> torch.Tensor:
        return (cls_feature(visual, images) * weights).sum()

    value().backward()
    step = 1e-6
    for name, parameter in peft.named_parameters():
        direction = torch.randn_like(parameter)
        assert parameter.grad is not None, name
        analytic = (parameter.grad * direction).sum().item()
        with torch.no_grad():
            parameter.add_(step * direction)
            above = value().item()
            parameter.sub_(2 * step * direction)
            below = value().item()
            parameter.add_(step * direction)
        numeric = (above - below) / (2 * step)
        assert analytic == pytest.approx(numeric, rel=1e-5, abs=1e-7), name
        assert analytic != 0, name


@torch.inference_mode()  # nn.MultiheadAttention has another kernel, other last bits, for gradients
def test_start_is_the_zero_map(make_visual):
    visual = make_visual().requires_grad_(False)
    images = torch.randn(4, 3, 8, 8)
    before = cls_feature(visual, images)
    peft = AdaptFormer(
        BackboneShape.of(visual), 60, AdaptFormerOptions(scale=0.1), torch.Generator()
    )
    peft.attach(visual)
    assert torch.equal(cls_feature(visual, images), before)
    for adapter in peft.adapters:
        assert adapter.scale.item() == pytest.approx(0.1)
        assert not adapter.up.weight.any()
        assert not adapter.up.bias.any()
        assert not adapter.down.bias.any()


def test_down_is_kaiming_normal():
    """a = sqrt 5: gain sqrt(2 / 6), so std = sqrt(1 / (3 D))."""
    adapter = ParallelAdapter(300, 400, 1.0, torch.Generator().manual_seed(0))
    n = adapter.down.weight.numel()
    expected = math.sqrt(1 / (3 * 300))
    assert adapter.down.weight.std().item() == pytest.approx(expected, rel=4 / math.sqrt(2 * n))
    z = (adapter.down.weight / expected).flatten()
    assert (z.abs() > 1.96).float().mean().item() == pytest.approx(0.05, abs=0.003)


def test_only_the_generator_decides():
    def weights(seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        peft = AdaptFormer(VIT_B_16, 10, AdaptFormerOptions(bottleneck=2), generator)
        return peft.adapters[3].down.weight

    torch.manual_seed(1)
    first = weights(5)
    torch.manual_seed(2)
    assert torch.equal(first, weights(5))
    assert not torch.equal(first, weights(6))


def test_half_precision_stream_keeps_its_dtype():
    adapter = ParallelAdapter(16, 4, 1.0, torch.Generator().manual_seed(0))
    torch.nn.init.normal_(adapter.up.weight, generator=torch.Generator().manual_seed(1))
    x = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(2))
    exact = adapter(x)
    half = adapter(x.bfloat16())
    assert half.dtype == torch.bfloat16
    assert (half - exact).abs().max() < 0.03 * exact.abs().max()
    half.sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in adapter.parameters())

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from dualtail.tuning import linear
from dualtail.tuning.cost import forward_gflops, training_gflops
from dualtail.tuning.heads import build_head
from dualtail.tuning.linear import ONEDNN
from dualtail.tuning.peft import PEFTS
from dualtail.tuning.tuned_model import build_tuned_model


@pytest.mark.parametrize("method", ["adaptformer", "vpt-deep", "bias"])
def test_onednns_products_are_counted_like_torchs(make_visual, monkeypatch, method):
    model = build_tuned_model(
        make_visual(),
        build_head("cosine", torch.randn(5, 16), 25.0),
        peft=method,
        peft_options={},
        precision="float32",
        seed=0,
    )
    size = model.shape.image_size
    found, training = forward_gflops(model, size), training_gflops(model, size)
    monkeypatch.setattr(linear, "FAST_DTYPES", ())
    assert found == pytest.approx(forward_gflops(model, size))
    assert training == pytest.approx(training_gflops(model, size))
    # Gradients of inputs only, and none where nothing below is trained.
    assert 1.3 * found < training < 2.2 * found
    assert all(parameter.grad is None for parameter in model.parameters())
    # At least the FFNs: two products of 16 x 32, five tokens in two blocks and one in the last.
    assert found * 1e9 > 2 * 2 * 16 * 32 * (5 + 5 + 1)


def test_full_tuning_needs_the_gradients_of_weights_too(make_visual):
    head = build_head("cosine", torch.randn(5, 16), 25.0)
    model = build_tuned_model(
        make_visual(), head, peft="full", peft_options={}, precision="float32", seed=0
    )
    size = model.shape.image_size
    # Forward, gradients of inputs, gradients of weights: thrice, but for the image's own gradient.
    assert 2.5 * forward_gflops(model, size) < training_gflops(model, size)
    assert training_gflops(model, size) <= 3.05 * forward_gflops(model, size)


@pytest.mark.parametrize("method", sorted(PEFTS.options))
@pytest.mark.parametrize("gradients", [False, True])
def test_counts_are_those_of_torchs_counter(make_visual, method, gradients):
    head = build_head("cosine", torch.randn(7, 16), 25.0)
    model = build_tuned_model(
        make_visual(ls_init_value=0.5, quick_gelu=True),
        head,
        peft=method,
        peft_options={},
        precision="float32",
        seed=0,
    )
    custom = {} if ONEDNN is None else {ONEDNN: lambda x, w, *_, **__: 2 * x.numel() * w[0]}
    with FlopCounterMode(display=False, custom_mapping=custom) as counter:
        with torch.set_grad_enabled(gradients):
            logits, _ = model(torch.zeros(1, 3, 8, 8))
        if gradients:
            logits.sum().backward()
    found = (training_gflops if gradients else forward_gflops)(model, (8, 8))
    assert found == counter.get_total_flops() / 1e9

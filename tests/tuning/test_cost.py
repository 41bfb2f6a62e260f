import pytest
import torch

from dualtail.tuning import linear
from dualtail.tuning.cost import forward_gflops
from dualtail.tuning.heads import build_head
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
    found = forward_gflops(model, model.shape.image_size)
    monkeypatch.setattr(linear, "FAST_DTYPES", ())
    assert found == pytest.approx(forward_gflops(model, model.shape.image_size))
    # At least the FFNs: two products of 16 x 32, five tokens in two blocks and one in the last.
    assert found * 1e9 > 2 * 2 * 16 * 32 * (5 + 5 + 1)

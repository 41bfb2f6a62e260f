import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from dualtail.tuning.cost import forward_gflops, training_gflops
from dualtail.tuning.heads import build_head
from dualtail.tuning.linear import ONEDNN
from dualtail.tuning.peft import PEFTS
from dualtail.tuning.tuned_model import build_tuned_model


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

"""Our SGD against torch's, to the bit."""

from typing import Any

import pytest
import torch
from torch import nn

from dualtail.training.sgd import Sgd

SHAPES = [(1,), (7,), (33, 5), (1000, 17), (768,)]


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("weight_decay", [0.0, 5e-4])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_steps_are_those_of_torchs_sgd(momentum: float, weight_decay: float, fused: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    ours = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]
    theirs = [nn.Parameter(p.detach().clone()) for p in ours]
    settings: dict[str, Any] = {"lr": 0.3, "momentum": momentum, "weight_decay": weight_decay}
    own = Sgd(ours, **settings, fused=fused)
    reference = torch.optim.SGD(theirs, **settings, fused=fused)
    for step in range(6):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn(a.shape, generator=generator)
            b.grad = a.grad.clone()
        if step % 2:
            ours[2].grad = theirs[2].grad = None  # unused in this step
        for optimizer in (own, reference):
            optimizer.param_groups[0]["lr"] = 0.3 / (step + 1)
            optimizer.step()
        for a, b in zip(ours, theirs, strict=True):
            assert torch.equal(a, b)
            if momentum:
                found, expected = own.state[a], reference.state[b]
                assert torch.equal(found["momentum_buffer"], expected["momentum_buffer"])
    own.zero_grad()
    assert all(p.grad is None for p in ours)


@pytest.mark.parametrize("fused", [True, False])
def test_a_parameter_may_get_its_first_gradient_later(fused: bool) -> None:
    """Its velocity starts with it, as in torch's plain SGD."""
    a, b = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    own = Sgd([a, b], lr=0.5, momentum=0.9, weight_decay=0.0, fused=fused)
    for gradients in ((1.0, None), (1.0, 1.0), (1.0, 1.0)):
        for parameter, value in zip((a, b), gradients, strict=True):
            parameter.grad = None if value is None else torch.full((3,), value)
        own.step()
    torch.testing.assert_close(a.detach(), torch.full((3,), 1 - 0.5 * (1 + 1.9 + 2.71)))
    torch.testing.assert_close(b.detach(), torch.full((3,), 1 - 0.5 * (1 + 1.9)))

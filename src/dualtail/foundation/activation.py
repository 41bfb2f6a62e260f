"""QuickGELU."""

from typing import Any, cast

import torch
from torch import nn

SLOPE = 1.702


class QuickGelu(nn.Module):
    """`x sigmoid(1.702 x)`; one tensor is kept for the backward pass, the derivative."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled() and x.requires_grad:
            return cast(torch.Tensor, _QuickGelu.apply(x))
        return x.mul(SLOPE).sigmoid_().mul_(x)


class _QuickGelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        gate = x.mul(SLOPE).sigmoid_()
        y = x * gate
        # s + 1.702 x s (1 - s)
        ctx.save_for_backward(torch.addcmul(gate, y, 1 - gate, value=SLOPE))
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> torch.Tensor:
        (derivative,) = ctx.saved_tensors
        return gradients[0] * derivative

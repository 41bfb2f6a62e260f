"""Products with frozen weights."""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn

ONEDNN: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
"""oneDNN's linear layer, which adds the bias as it goes; None in builds of torch without it."""


def _fast_dtypes() -> tuple[torch.dtype, ...]:
    if ONEDNN is None or not torch.backends.mkldnn.is_available():
        return ()
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return torch.float32, torch.bfloat16
    return (torch.float32,)


FAST_DTYPES = _fast_dtypes()
"""What `ONEDNN` computes on this machine."""


def frozen_linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """`x @ weight.T + bias`, (..., D) -> (..., E), with gradients to x and bias.

    On the CPU this is oneDNN's layer. torch itself takes MKL for float32, twice as slow on AMD
    processors with AVX-512, and in bfloat16 first copies the bias to every row of the result. A
    weight that needs gradients goes torch's way.
    """
    trained = weight.requires_grad and torch.is_grad_enabled()
    if trained or x.device.type != "cpu" or x.dtype not in FAST_DTYPES:
        return F.linear(x, weight, bias)
    return cast(torch.Tensor, _FrozenLinear.apply(x, weight, bias))


class FrozenLinear(nn.Module):
    """A linear layer by `frozen_linear`, on given parameters."""

    def __init__(self, weight: nn.Parameter, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.weight, self.bias = weight, bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return frozen_linear(x, self.weight, self.bias)


class _FrozenLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        ctx.save_for_backward(weight)
        return ONEDNN(x, weight, bias, "none", [], "")

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[torch.Tensor | None, ...]:
        (weight,), (gradient,) = ctx.saved_tensors, gradients
        needs_x, _, needs_bias = ctx.needs_input_grad
        x = ONEDNN(gradient, weight.t(), None, "none", [], "") if needs_x else None
        return x, None, gradient.flatten(0, -2).sum(dim=0) if needs_bias else None

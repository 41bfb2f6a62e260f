"""Self-attention of a tuned tower: modules that methods can act on, and one fast kernel."""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn

from dualtail.tuning.linear import FrozenLinear, frozen_linear


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """Attention of heads: (B, H, Q, E), (B, H, T, E), (B, H, T, E) -> (B, H, Q, E).

    On the CPU this is `StoredAttention`; elsewhere, and with a mask, torch's fused kernel.
    """
    if query.device.type == "cpu" and mask is None:
        return cast(torch.Tensor, StoredAttention.apply(query, key, value))
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)


class StoredAttention(torch.autograd.Function):
    """`softmax(q k' / sqrt(E)) v` that keeps its weights (B, H, Q, T) for the backward pass.

    torch's fused kernel for the CPU computes them again there, in small products that reach a
    fraction of the speed of large ones.
    """

    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        # Scaled before the product: Q x E numbers instead of Q x T.
        q = (query * query.shape[3] ** -0.5).flatten(0, 1)
        k, v = key.flatten(0, 1), value.flatten(0, 1)
        weights = torch.bmm(q, k.transpose(1, 2)).softmax(dim=2)
        ctx.save_for_backward(q, k, v, weights)
        ctx.heads = query.shape[1]
        return torch.bmm(weights, v).unflatten(0, (-1, query.shape[1]))

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[torch.Tensor | None, ...]:
        q, k, v, weights = ctx.saved_tensors
        gradient = gradients[0].flatten(0, 1)
        needs_query, needs_key, needs_value = ctx.needs_input_grad
        found: list[torch.Tensor | None] = [None, None, None]
        if needs_value:
            found[2] = torch.bmm(weights.transpose(1, 2), gradient)
        if needs_query or needs_key:
            scores = torch.ops.aten._softmax_backward_data(
                torch.bmm(gradient, v.transpose(1, 2)), weights, 2, weights.dtype
            )
            if needs_query:
                found[0] = torch.bmm(scores, k) * k.shape[2] ** -0.5
            if needs_key:
                found[1] = torch.bmm(scores.transpose(1, 2), q)
        return tuple(None if x is None else x.unflatten(0, (-1, ctx.heads)) for x in found)


class BlockAttention(nn.Module):
    """Attention as open_clip's block calls it; subclasses make queries, keys and values.

    Attributes:
        num_heads: H.
        out_proj: Maps what was attended to the output.
    """

    num_heads: int
    out_proj: nn.Module

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        need_weights: bool = False,
        attn_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, None]:
        """Attend: (B, Q, D), (B, T, D), (B, T, D) -> (B, Q, D); called as open_clip's block does."""
        assert not need_weights
        attended = attend(*self.projected(query, key, value), attn_mask)
        return self.out_proj(attended.transpose(1, 2).flatten(2)), None

    def projected(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries (B, H, Q, E), keys and values (B, H, T, E), E = D / H."""
        raise NotImplementedError


class PackedAttention(BlockAttention):
    """What a given `nn.MultiheadAttention` computes, with its parameters under their own names.

    Queries, keys and values of one sequence are one product, batch first. `nn.MultiheadAttention`
    transposes the sequence to the front before it; with frozen weights torch then copies them for
    every token.
    """

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        self.num_heads = attention.num_heads
        self.in_proj_weight, self.in_proj_bias = attention.in_proj_weight, attention.in_proj_bias
        self.out_proj = attention.out_proj

    def projected(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        weight, bias, width = self.in_proj_weight, self.in_proj_bias, query.shape[2]
        if query is key and key is value:
            q, k, v = self._heads(frozen_linear(query, weight, bias), 3)
        else:
            (q,) = self._heads(frozen_linear(query, weight[:width], bias[:width]), 1)
            if key is value:
                k, v = self._heads(frozen_linear(key, weight[width:], bias[width:]), 2)
            else:
                middle = slice(width, 2 * width)
                (k,) = self._heads(frozen_linear(key, weight[middle], bias[middle]), 1)
                (v,) = self._heads(frozen_linear(value, weight[2 * width :], bias[2 * width :]), 1)
        return q, k, v

    def _heads(self, x: torch.Tensor, parts: int) -> tuple[torch.Tensor, ...]:
        """(B, T, parts * D) -> `parts` times (B, H, T, E)."""
        split = x.unflatten(2, (parts, self.num_heads, -1)).unbind(2)
        return tuple(part.transpose(1, 2) for part in split)


class OpenAttention(BlockAttention):
    """Attention with a module for every projection, for methods that act on them.

    `query`, `key`, `value` and `out_proj` are `FrozenLinear` modules that share the given weights.
    """

    def __init__(self, attention: nn.MultiheadAttention | PackedAttention) -> None:
        super().__init__()
        self.num_heads = attention.num_heads
        weights, biases = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
        self.query, self.key, self.value = (
            FrozenLinear(_frozen(weight), _frozen(bias))
            for weight, bias in zip(weights, biases, strict=True)
        )
        self.out_proj = attention.out_proj

    @classmethod
    def replace(cls, block: nn.Module) -> "OpenAttention":
        """Put an open attention in the place of a block's own and return it."""
        attention = block.get_submodule("attn")
        assert isinstance(attention, nn.MultiheadAttention | PackedAttention)
        opened = cls(attention)
        block.attn = opened  # type: ignore[assignment]
        return opened

    def projected(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        parts = (self.query(query), self.key(key), self.value(value))
        q, k, v = map(self._heads, parts)
        return q, k, v

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)


def _frozen(values: torch.Tensor) -> nn.Parameter:
    return nn.Parameter(values.detach(), requires_grad=False)

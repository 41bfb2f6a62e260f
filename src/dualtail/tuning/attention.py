"""Self-attention whose projections are modules of their own, for methods that act on them."""

import torch
import torch.nn.functional as F
from torch import nn


class OpenAttention(nn.Module):
    """What a given `nn.MultiheadAttention` computes, with a module for every projection.

    `nn.MultiheadAttention` makes queries, keys and values inside one function, out of reach of
    hooks. Here `query`, `key`, `value` and `out_proj` are `nn.Linear` modules that share the given
    weights.
    """

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        self.num_heads = attention.num_heads
        weights, biases = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
        self.query, self.key, self.value = map(_frozen_linear, weights, biases)
        self.out_proj = attention.out_proj

    @classmethod
    def replace(cls, block: nn.Module) -> "OpenAttention":
        """Put an open attention in the place of a block's own and return it."""
        attention = block.get_submodule("attn")
        assert isinstance(attention, nn.MultiheadAttention)
        opened = cls(attention)
        block.attn = opened  # type: ignore[assignment]
        return opened

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
        attended = F.scaled_dot_product_attention(
            self._heads(self.query(query)),
            self._heads(self.key(key)),
            self._heads(self.value(value)),
            attn_mask=attn_mask,
        )
        return self.out_proj(attended.transpose(1, 2).flatten(2)), None

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)


def _frozen_linear(weight: torch.Tensor, bias: torch.Tensor) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    linear.weight = nn.Parameter(weight.detach(), requires_grad=False)
    linear.bias = nn.Parameter(bias.detach(), requires_grad=False)
    return linear

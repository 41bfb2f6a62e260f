import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dualtail.tuning.attention import OpenAttention, PackedAttention, StoredAttention, attend


def written_out(q, k, v, mask=None):
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return torch.softmax(scores, dim=-1) @ v


def heads(seed, *sizes, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(s, generator=generator, dtype=dtype).requires_grad_() for s in sizes]


@settings(max_examples=30, deadline=None)
@given(*(st.integers(1, 5) for _ in range(5)), st.integers(0, 1000))
def test_forward_and_gradient_follow_the_equation(n, h, queries, tokens, width, seed):
    q, k, v = heads(seed, (n, h, queries, width), (n, h, tokens, width), (n, h, tokens, width))
    found, expected = attend(q, k, v), written_out(q, k, v)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    direction = torch.randn_like(expected)
    for a, b in zip(
        torch.autograd.grad(found, (q, k, v), direction),
        torch.autograd.grad(expected, (q, k, v), direction),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("needed", [(0,), (1,), (2,), (0, 2), (1, 2)])
def test_gradients_against_finite_differences_where_they_are_needed(needed):
    values = heads(1, (2, 3, 4, 5), (2, 3, 6, 5), (2, 3, 6, 5))
    for i, value in enumerate(values):
        value.requires_grad_(i in needed)
    assert torch.autograd.gradcheck(StoredAttention.apply, values)


def test_a_mask_is_kept():
    q, k, v = heads(3, (2, 1, 4, 5), (2, 1, 6, 5), (2, 1, 6, 5))
    mask = (torch.arange(6) < 4).expand(4, 6)
    torch.testing.assert_close(attend(q, k, v, mask), written_out(q, k, v, mask))


@pytest.mark.parametrize("kind", [PackedAttention, OpenAttention])
@pytest.mark.parametrize("same", ["all", "key and value", "none"])
def test_modules_compute_what_multihead_attention_does(kind, same):
    torch.manual_seed(0)
    theirs = nn.MultiheadAttention(12, 3, batch_first=True).double().requires_grad_(False)
    with torch.no_grad():
        theirs.in_proj_bias.normal_()
        theirs.out_proj.bias.normal_()
    query, key, value = (torch.randn(2, n, 12, dtype=torch.float64) for n in (4, 7, 7))
    if same == "all":
        query = key = value
    elif same == "key and value":
        value = key
    expected = theirs(query, key, value, need_weights=False)[0]
    torch.testing.assert_close(kind(theirs)(query, key, value)[0], expected)

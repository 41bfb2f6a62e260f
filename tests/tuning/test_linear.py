import pytest
import torch

from dualtail.tuning.linear import frozen_linear


def operands(dtype, n_in, n_out, batch=(2, 5)):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(*batch, n_in, generator=generator).to(dtype).requires_grad_()
    weight = torch.randn(n_out, n_in, generator=generator).to(dtype)
    bias = torch.randn(n_out, generator=generator).to(dtype).requires_grad_()
    return x, weight, bias


@pytest.mark.parametrize(
    ("dtype", "rounding"),
    [
        (torch.float64, 1e-12),
        (torch.float32, 1e-5),
        (torch.bfloat16, 1e-2),
        (torch.float16, 2e-3),  # not among oneDNN's on every processor
    ],
)
@pytest.mark.parametrize("batch", [(2, 5), (1, 1), (7,), (2, 3, 4)])
@pytest.mark.parametrize("sizes", [(8, 5), (1, 7), (33, 65)])
def test_forward_and_gradient_are_those_of_the_product(dtype, rounding, batch, sizes):
    x, weight, bias = operands(dtype, *sizes, batch)
    exact = [v.detach().double().requires_grad_() for v in (x, bias)]
    found = frozen_linear(x, weight, bias)
    expected = exact[0] @ weight.double().T + exact[1]
    assert found.dtype == dtype
    scale = expected.abs().max()
    assert (found.double() - expected).abs().max() <= rounding * scale
    direction = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    gradients = torch.autograd.grad(found, (x, bias), direction)
    references = torch.autograd.grad(expected, exact, direction.double())
    for gradient, reference in zip(gradients, references, strict=True):
        assert gradient.dtype == dtype
        assert (gradient.double() - reference).abs().max() <= rounding * (1 + reference.abs().max())


def test_nothing_is_kept_but_the_weight():
    x, weight, bias = operands(torch.float32, 4, 3)
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        frozen_linear(x, weight, bias)
    assert all(t.data_ptr() != x.data_ptr() for t in kept)

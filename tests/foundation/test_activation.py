import pytest
import torch

from dualtail.foundation.activation import QuickGelu


def test_gradient_against_finite_differences():
    x = torch.linspace(-6, 6, 41, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(QuickGelu(), [x])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_values_and_gradient_follow_the_definition(dtype):
    x = torch.linspace(-9, 9, 1001).to(dtype).requires_grad_()
    exact = x.detach().double().requires_grad_()
    found, expected = QuickGelu()(x), exact * torch.sigmoid(1.702 * exact)
    gradient, reference = (
        torch.autograd.grad(y.sum(), v)[0] for y, v in ((found, x), (expected, exact))
    )
    rounding = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 0.04}[dtype]
    assert found.dtype == gradient.dtype == dtype
    assert ((found.double() - expected).abs() <= rounding * (1 + expected.abs())).all()
    assert ((gradient.double() - reference).abs() <= rounding).all()

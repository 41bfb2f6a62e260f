import numpy as np
import pytest
import torch

from dualtail.errors import UserError
from dualtail.tuning.head_start import text_weight
from dualtail.tuning.heads import HEADS, CosineHead, build_head, head_type


def test_text_initialization_maps_back_through_the_projection():
    rng = np.random.default_rng(1)
    text, proj = rng.normal(size=(4, 6)), rng.normal(size=(9, 6))
    head = CosineHead(text_weight(torch.from_numpy(text), torch.from_numpy(proj)), 25.0)
    expected = np.stack([proj @ row / np.linalg.norm(proj @ row) for row in text])
    np.testing.assert_allclose(head.weight.detach().numpy(), expected, rtol=1e-5, atol=1e-6)
    assert head.weight.dtype == torch.float32
    assert head.weight.requires_grad
    assert head.n_classes == 4


def test_without_projection_the_text_is_taken_as_it_is():
    text = torch.tensor([[3.0, 4.0]])
    weight = text_weight(text, None)
    torch.testing.assert_close(weight.detach(), torch.tensor([[0.6, 0.8]]))


def test_bad_text_features():
    proj = torch.randn(9, 6)
    with pytest.raises(UserError, match="width 6"):
        text_weight(torch.randn(4, 5), proj)
    with pytest.raises(UserError, match="width 6"):
        text_weight(torch.randn(6), proj)
    for value in (0.0, float("nan")):
        text = torch.randn(4, 6)
        text[2] = value
        with pytest.raises(UserError, match="class 2"):
            text_weight(text, proj)


def test_a_feature_of_zeros_gives_finite_gradients():
    head = CosineHead(torch.randn(3, 4), 25.0)
    features = torch.zeros(2, 4, requires_grad=True)
    head(features).sum().backward()
    assert torch.isfinite(features.grad).all()
    assert torch.isfinite(head.weight.grad).all()


def written_out(kind, x, w, b, scale):
    """One logit, float64."""
    if kind == "cosine":
        return scale * (x @ w) / (np.linalg.norm(x) * np.linalg.norm(w))
    if kind == "linear":
        return x @ w + b
    if kind == "layer-norm":
        x = (x - x.mean()) / np.sqrt(((x - x.mean()) ** 2).mean() + 1e-12)
    return x @ w / np.linalg.norm(w)


@pytest.mark.parametrize("kind", HEADS)
def test_every_head_by_its_definition_value_and_gradient(kind):
    rng = np.random.default_rng(0)
    x, w, b, g = (rng.normal(size=s) for s in ((3, 6), (4, 6), (4,), (3, 4)))
    head = build_head(kind, torch.from_numpy(w), 20.0)
    if kind == "linear":
        assert not head.bias.any()
        head.bias.data.copy_(torch.from_numpy(b))
    features = torch.tensor(x, dtype=torch.float32, requires_grad=True)
    logits = head(features)

    def value(x, w, b):
        rows = [[written_out(kind, f, v, c, 20.0) for v, c in zip(w, b, strict=True)] for f in x]
        return np.array(rows)

    np.testing.assert_allclose(logits.detach(), value(x, w, b), rtol=1e-4, atol=1e-4)
    (logits * torch.from_numpy(g).float()).sum().backward()
    for array, gradient in ((x, features.grad), (w, head.weight.grad)):
        for at in np.ndindex(array.shape):
            start = array[at]
            array[at] = start + 1e-6
            above = (value(x, w, b) * g).sum()
            array[at] = start - 1e-6
            below = (value(x, w, b) * g).sum()
            array[at] = start
            assert gradient[at].item() == pytest.approx((above - below) / 2e-6, rel=1e-3, abs=1e-3)
    assert head_type(head) == kind
    assert sum(p.numel() for p in head.parameters()) == 24 + 4 * (kind == "linear")


def test_random_starts():
    generator = torch.Generator().manual_seed(0)
    for kind in ("cosine", "l2-norm", "layer-norm"):
        weight = HEADS[kind].random_weight(50, 64, generator)
        torch.testing.assert_close(weight.norm(dim=1), torch.ones(50))
        assert weight.mean().abs() < 0.01
    weight = HEADS["linear"].random_weight(500, 64, generator)
    assert weight.std().item() == pytest.approx(np.sqrt(2 / 64), rel=0.02)
    again = HEADS["linear"].random_weight(500, 64, torch.Generator().manual_seed(1))
    same = HEADS["linear"].random_weight(500, 64, torch.Generator().manual_seed(1))
    assert torch.equal(again, same)

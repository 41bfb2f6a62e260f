import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dualtail.errors import UserError
from dualtail.tuning.losses import REGISTRY, make_loss
from dualtail.tuning.settings import LOSSES


def test_registry_is_what_the_config_allows():
    assert tuple(REGISTRY) == LOSSES


@given(st.lists(st.integers(1, 5000), min_size=2, max_size=8), st.integers(0, 2**31))
def test_losses_written_out(counts, seed):
    rng = np.random.default_rng(seed)
    c = len(counts)
    logits, labels = rng.normal(scale=5, size=(6, c)), rng.integers(0, c, 6)
    pi = np.array(counts, dtype=np.float64) / sum(counts)
    ce = [np.log(sum(np.exp(f - f[y]))) for f, y in zip(logits, labels, strict=True)]
    la = [  # Eq. 2 as a ratio of prior-weighted exponentials
        -np.log(pi[y] * np.exp(f[y]) / sum(pi * np.exp(f)))
        for f, y in zip(logits, labels, strict=True)
    ]
    f, y = torch.from_numpy(logits).float(), torch.from_numpy(labels)
    assert make_loss("ce", np.array(counts))(f, y).item() == pytest.approx(np.mean(ce), rel=1e-4)
    assert make_loss("la", np.array(counts))(f, y).item() == pytest.approx(
        np.mean(la), rel=1e-4, abs=1e-5
    )


def test_gradient_of_la_is_adjusted_softmax_minus_label():
    counts = np.array([90, 9, 1])
    logits = torch.tensor([[0.3, -0.2, 1.0]], requires_grad=True)
    make_loss("la", counts)(logits, torch.tensor([2])).backward()
    weights = counts / 100 * np.exp([0.3, -0.2, 1.0])
    expected = weights / weights.sum() - [0, 0, 1]
    np.testing.assert_allclose(logits.grad.numpy()[0], expected, rtol=1e-5)


def test_la_with_equal_counts_is_ce():
    logits, labels = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1])
    ce = make_loss("ce", np.array([7, 7, 7]))(logits, labels)
    torch.testing.assert_close(make_loss("la", np.array([7, 7, 7]))(logits, labels), ce)


def test_classes_without_images_are_named_at_once():
    counts, names = np.array([3, 0, 2, 0]), ["ant", "bee", "cat", "dog"]
    with pytest.raises(UserError, match=r"2 classes without a training image \(bee, dog\)"):
        make_loss("la", counts, names)
    assert torch.isfinite(make_loss("ce", counts, names)(torch.randn(2, 4), torch.tensor([0, 2])))
    with pytest.raises(UserError, match=r"\(0, 1, 2, 3, 4 \.\.\.\)"):
        make_loss("la", np.array([0] * 9 + [1]))


@pytest.mark.parametrize(
    ("name", "counts", "complaint"),
    [
        ("lla", [1, 2], "did you mean 'la'"),
        ("focal", [1, 2], "known are ce, la"),
        ("la", [1, -2], ">= 0"),
        ("ce", [0, 0], "at least one image"),
        ("la", [1.0, float("nan")], ">= 0"),
        ("la", [[1, 2]], "train_counts"),
        ("la", [], "train_counts"),
    ],
)
def test_bad_input(name, counts, complaint):
    with pytest.raises(UserError, match=complaint):
        make_loss(name, np.array(counts))


def test_names_must_match_the_counts():
    with pytest.raises(UserError, match="3 classes"):
        make_loss("la", np.array([1, 2]), ["a", "b", "c"])

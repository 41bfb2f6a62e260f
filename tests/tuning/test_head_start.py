import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dualtail.errors import UserError
from dualtail.tuning.backbone import cls_feature
from dualtail.tuning.head_start import (
    class_mean_weight,
    few_shot_index,
    frozen_features,
    linear_probe_weight,
)


def toy(n_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, 40)])
    labels[labels == 2] *= rng.random((labels == 2).sum()) < 0.5
    labels[2] = 2
    means = rng.normal(size=(n_classes, 5))
    return rng.normal(size=(len(labels), 5)) + means[labels], labels


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(1, 9), st.integers(0, 99))
def test_few_shots(labels, shots, seed):
    labels = np.array(labels)
    index = few_shot_index(labels, shots, np.random.default_rng(seed))
    assert len(set(index.tolist())) == len(index)
    assert (np.sort(index) == index).all()
    expected = np.minimum(np.bincount(labels, minlength=5), shots)
    assert (np.bincount(labels[index], minlength=5) == expected).all()


def test_few_shots_are_drawn_at_random():
    labels = np.repeat(np.arange(2), 50)
    first, again, other = (few_shot_index(labels, 5, np.random.default_rng(s)) for s in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()
    drawn = [few_shot_index(labels, 5, np.random.default_rng(s)) for s in range(400)]
    counts = np.bincount(np.concatenate(drawn), minlength=100)
    assert counts.min() > 15
    assert counts.max() < 75  # 40 expected


def test_class_means():
    x, labels = toy()
    found = class_mean_weight(torch.from_numpy(x).float(), labels, 3)
    for c in range(3):
        mean = x[labels == c].mean(axis=0)
        np.testing.assert_allclose(found[c], mean / np.linalg.norm(mean), rtol=1e-4, atol=1e-5)


def test_the_linear_probe_is_at_the_optimum():
    """Against Newton's method on the objective written out class by class."""
    x, labels = toy()
    n, c, d = len(x), 3, 5
    weight = (n / (c * np.bincount(labels)))[labels]
    y = torch.from_numpy(labels)
    features, w_i = torch.from_numpy(x), torch.from_numpy(weight)

    def objective(theta):
        theta = theta.reshape(c, d + 1)
        scores = features @ theta[:, :d].T + theta[:, d]
        own = scores[torch.arange(n), y] - torch.logsumexp(scores, 1)
        return -(w_i * own).sum() + 0.5 * (theta[:, :d] ** 2).sum()

    theta = torch.zeros(c * (d + 1), dtype=torch.float64)
    for _ in range(30):
        gradient = torch.func.grad(objective)(theta)
        hessian = torch.func.hessian(objective)(theta)
        theta = theta - torch.linalg.pinv(hessian) @ gradient
    assert torch.func.grad(objective)(theta).abs().max() < 1e-8
    rows = theta.reshape(c, d + 1)[:, :d]
    expected = rows / rows.norm(dim=1, keepdim=True)
    found = linear_probe_weight(features.float(), labels, 3)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert found.dtype == torch.float32


def test_a_class_without_images_has_no_mean():
    x, labels = toy()
    labels[labels == 1] = 0
    for start in (class_mean_weight, linear_probe_weight):
        with pytest.raises(UserError, match="class 1 has no training image"):
            start(torch.from_numpy(x).float(), labels, 3)


def test_features_are_those_of_the_untuned_tower(make_visual, array_source):
    visual = make_visual()
    pixels = torch.randint(0, 256, (9, 3, 10, 10), dtype=torch.uint8)
    index = np.array([7, 1, 4])
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    found = frozen_features(
        visual, array_source(pixels), index, size=(8, 8), mean=mean, std=std, batch_size=2
    )
    scaled = pixels[index, :, 1:9, 1:9] / 255
    scaled = (scaled - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    torch.testing.assert_close(found, cls_feature(visual, scaled), rtol=1e-4, atol=1e-5)

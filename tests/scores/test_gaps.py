"""The gap without noise: unbiased, and its intervals hold the truth."""

import numpy as np
import pytest

from dualtail.scores.bootstrap import Estimate
from dualtail.scores.gaps import difference, root, squared_gap, squared_gap_change

DRAWS = 400


def simulate(each, spread, n_classes=60):
    """(truth, found) of the squared gap with `spread`, and of its change against a gap of 0."""
    rng = np.random.default_rng([each, int(100 * spread)])
    labels = np.repeat(np.arange(n_classes), each)
    base = rng.uniform(0.3, 0.9, n_classes)
    p = [np.clip(base + sign * spread * rng.standard_normal(n_classes), 0, 1) for sign in (0, 1)]
    truth, found, changes = float(((p[0] - p[1]) ** 2).mean()), [], []
    for _ in range(DRAWS):
        shared = rng.random(labels.size)
        hits = []
        for q in (p[0], p[1], base, base):
            own = np.where(rng.random(labels.size) < 0.5, shared, rng.random(labels.size))
            hits.append(own < q[labels])
        pairs = [difference(hits[k], hits[k + 1], labels) for k in (0, 2)]
        found.append(squared_gap(pairs[0]))
        changes.append(squared_gap_change(pairs[1], pairs[0]))
    return truth, found, changes


@pytest.mark.parametrize("spread", [0.0, 0.1])
@pytest.mark.parametrize("each", [10, 50])
def test_it_has_no_bias_and_its_intervals_cover(each, spread):
    truth, found, changes = simulate(each, spread)
    for true, estimates in ((truth, found), (-truth, changes)):
        values = np.array([e.value for e in estimates])
        assert abs(values.mean() - true) < 3.5 * values.std() / DRAWS**0.5
        covered = np.mean([e.low <= true <= e.high for e in estimates])
        assert covered > 0.92  # 95 %, give or take 1.1


def test_equal_accuracies_are_not_brought_together_by_fewer_errors():
    """Noise shrinks as accuracy grows: Eq. 5 falls from 0.5 to 0.9 although nothing comes closer."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(300), 20)
    gaps, resolved = [], 0
    for _ in range(40):
        pairs = []
        for p in (0.5, 0.9):
            hits = rng.random((2, labels.size)) < p
            pairs.append(difference(*hits, labels))
            gaps.append(np.abs(pairs[-1].mean).mean())
        resolved += squared_gap_change(pairs[1], pairs[0]).high < 0
    assert np.mean(gaps[::2]) > 1.5 * np.mean(gaps[1::2])
    assert resolved <= 4  # 2.5 % of 40 expected


def test_classes_of_one_image_are_left_out_and_few_images_have_no_interval():
    labels = np.array([0, 1, 1, 2, 2, 2])
    one = difference(np.array([1, 1, 1, 0, 1, 1]) > 0, np.array([0, 0, 0, 0, 1, 0]) > 0, labels)
    assert one.images.tolist() == [2, 3]
    found = squared_gap(one)
    assert found.value == pytest.approx((1 + 0) / 2)
    assert np.isnan(found.low)
    alone = difference(np.array([True]), np.array([False]), np.array([0]))
    assert np.isnan(squared_gap(alone).value)


def test_a_root_is_of_what_noise_does_not_explain():
    assert root(Estimate(-0.1, -0.2, 0.04)) == (0.0, 0.0, 0.2)
    assert np.isnan(root(Estimate(0.25)).low)

"""Long tails: exact counts and imbalance, closed forms, nested draws, correlated orders."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from dualtail.datasets.long_tail import (
    apportion,
    cifar_counts,
    cifar_rows,
    class_ranks,
    draw_rows,
    split_folder,
    tail_counts,
    tail_shares,
)
from dualtail.datasets.settings import LongTail
from dualtail.errors import UserError

TAILS = st.builds(
    LongTail,
    profile=st.sampled_from(["exponential", "pareto"]),
    imbalance_factor=st.floats(1, 500),
    alpha=st.floats(0.05, 6),
)


@given(TAILS, st.integers(2, 300))
def test_shares_fall_and_their_ratio_is_the_imbalance_factor(tail: LongTail, n: int) -> None:
    shares = tail_shares(tail, n)
    assert shares[0] == 1
    assert shares[0] / shares[-1] == pytest.approx(tail.imbalance_factor)
    assert (np.diff(shares) <= 1e-12).all()


def test_pareto_is_its_quantiles_and_becomes_exponential() -> None:
    shares = tail_shares(LongTail(profile="pareto", imbalance_factor=9.0, alpha=2.0), 5)
    np.testing.assert_allclose(shares, (1 + np.arange(5) / 4 * 80.0) ** -0.5)
    close = tail_shares(LongTail(profile="pareto", imbalance_factor=50.0, alpha=1e-7), 40)
    np.testing.assert_allclose(close, tail_shares(LongTail(imbalance_factor=50.0), 40), rtol=1e-5)


@given(TAILS, st.integers(2, 60), st.integers(0, 10**4))
def test_apportioned_counts_sum_exactly_and_keep_the_order(
    tail: LongTail, n: int, more: int
) -> None:
    shares = tail_shares(tail, n)
    counts = apportion(shares, n + more)
    assert counts.sum() == n + more
    assert counts.min() >= 1
    assert (np.diff(counts) <= 0).all()
    exact = (n + more) * shares / shares.sum()
    if exact.min() >= 1:
        assert np.abs(counts - exact).max() < 1


def test_what_is_left_goes_to_the_largest_remainders() -> None:
    assert apportion(np.array([4.6, 3.3, 2.1]), 10).tolist() == [5, 3, 2]
    assert apportion(np.array([4.4, 3.7, 1.9]), 10).tolist() == [4, 4, 2]
    assert apportion(np.array([7.9, 1.9, 0.1, 0.1]), 10).tolist() == [7, 1, 1, 1]


def test_too_little_is_refused() -> None:
    with pytest.raises(UserError, match="100 leaves no image for the rarest class"):
        tail_counts(LongTail(imbalance_factor=100), 50, 4)
    with pytest.raises(UserError, match="2 images for 3 classes"):
        apportion(np.ones(3), 2)
    with pytest.raises(UserError, match="class 1: 3 images are wanted, 2 are there"):
        draw_rows(np.array([0, 0, 1, 1]), np.array([1, 3]), 0, repeat=False)
    with pytest.raises(UserError, match="class 1: 1 images are wanted, 0 are there"):
        draw_rows(np.array([0, 0]), np.array([1, 1]), 0, repeat=True)
    with pytest.raises(UserError, match="class 0: 1 test, 1 validation and 2 training"):
        split_folder([["a", "b", "c"]], np.array([2]), 1, 1, 0)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9, 1.0])
def test_orders_have_the_correlation_asked_for(correlation: float) -> None:
    a, b = (class_ranks(100_000, correlation, 0, seed) for seed in (1, 2))
    np.testing.assert_array_equal(np.sort(a), np.arange(100_000))
    # Standard error 0.003; scores with Pearson's correlation 0.5 would have Spearman's 0.483.
    assert spearmanr(a, b).statistic == pytest.approx(correlation, abs=0.008)


@given(st.integers(0, 2**31), st.data())
def test_draws_are_exact_deterministic_and_nested(seed: int, data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=6))
    large = np.array([data.draw(st.integers(0, n)) for n in sizes])
    small = np.array([data.draw(st.integers(0, int(n))) for n in large])
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    rows = draw_rows(labels, large, seed, repeat=False)
    np.testing.assert_array_equal(np.bincount(labels[rows], minlength=len(sizes)), large)
    assert len(set(rows.tolist())) == len(rows)
    np.testing.assert_array_equal(rows, draw_rows(labels, large, seed, repeat=False))
    assert set(draw_rows(labels, small, seed, repeat=False)) <= set(rows)


def test_repetition_is_even() -> None:
    rows = draw_rows(np.array([0, 0, 0, 1]), np.array([7, 2]), 3, repeat=True)
    seen = np.bincount(rows, minlength=4)
    assert sorted(seen[:3]) == [2, 2, 3]
    assert seen[3] == 2


def test_splits_of_a_folder_do_not_overlap_and_do_not_depend_on_each_other() -> None:
    files = [[f"{c}/{i}" for i in range(20 + c)] for c in range(3)]
    large = split_folder(files, np.array([12, 6, 3]), 2, 4, seed=5)
    small = split_folder(files, np.array([6, 6, 1]), 2, 4, seed=5)
    everything = [name for rows in large.values() for name, _ in rows]
    assert len(everything) == len(set(everything)) == 12 + 6 + 3 + 3 * 6
    assert all(name.startswith(f"{label}/") for rows in large.values() for name, label in rows)
    assert small["test"] == large["test"]
    assert small["val"] == large["val"]
    assert set(small["train"]) < set(large["train"])
    assert split_folder(files, np.array([12, 6, 3]), 2, 4, seed=6)["test"] != large["test"]


@pytest.mark.parametrize("factor", [10, 100])
def test_cifar_images_are_those_of_lift(factor: int) -> None:
    """LIFT seeds NumPy's global generator and shuffles class after class."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(100), 500))
    state = np.random.get_state()  # noqa: NPY002
    try:
        np.random.seed(0)  # noqa: NPY002
        expected = []
        for c in range(100):
            places = [i for i, label in enumerate(labels) if label == c]
            places = np.array(places)
            np.random.shuffle(places)  # noqa: NPY002
            expected += places[: int(500 * (1 / factor) ** (c / 99.0))].tolist()
    finally:
        np.random.set_state(state)  # noqa: NPY002
    found = cifar_rows(labels, cifar_counts(factor), seed=0)
    assert found.tolist() == expected
    assert found.tolist() != cifar_rows(labels, cifar_counts(factor), seed=1).tolist()

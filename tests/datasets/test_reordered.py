"""Counts that follow, oppose or ignore a prior, and the images drawn for them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtail.datasets.image_list import ImageList
from dualtail.datasets.reordered import draw_rows, reordered_counts
from dualtail.datasets.settings import ORDERS
from dualtail.errors import UserError

COUNTS = st.lists(st.integers(1, 300), min_size=2, max_size=30)


def pool_of(counts: list[int], seed: int = 0) -> ImageList:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    return ImageList(Path("pool.txt"), [f"{i}.png" for i in range(len(labels))], labels)


def test_by_hand() -> None:
    counts, q = np.array([5, 100, 20]), np.array([0.2, 0.1, 0.7])
    assert reordered_counts(counts, q, "consistency").tolist() == [20, 5, 100]
    assert reordered_counts(counts, q, "reverse").tolist() == [20, 100, 5]
    assert sorted(reordered_counts(counts, q, "balance").tolist()) == [41, 42, 42]


@given(COUNTS, st.integers(0, 2**31))
def test_the_sum_stays_and_the_order_is_that_of_q(counts: list[int], seed: int) -> None:
    n = np.array(counts)
    q = np.random.default_rng(seed).dirichlet(np.ones(len(n)))
    for order in ORDERS:
        found = reordered_counts(n, q, order)
        assert found.sum() == n.sum()
        if order == "balance":
            assert np.ptp(found) <= 1
        else:
            assert sorted(found) == sorted(counts)
            along = np.diff(found[np.argsort(q)])
            assert (along >= 0).all() if order == "consistency" else (along <= 0).all()


@given(COUNTS, st.integers(0, 2**31))
def test_draws_have_the_counts_and_no_image_twice(available: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    pool = pool_of(available)
    counts = rng.integers(0, np.array(available) + 1)
    rows = draw_rows(pool, counts, np.random.default_rng(seed))
    assert len(np.unique(rows)) == len(rows) == counts.sum()
    np.testing.assert_array_equal(np.bincount(pool.labels[rows], minlength=len(available)), counts)
    np.testing.assert_array_equal(rows, draw_rows(pool, counts, np.random.default_rng(seed)))


def test_every_image_of_a_class_is_drawn_equally_often() -> None:
    pool, rng = pool_of([6, 4]), np.random.default_rng(0)
    times = np.zeros(10)
    for _ in range(3000):
        times[draw_rows(pool, np.array([3, 1]), rng)] += 1
    expected = np.where(pool.labels == 0, 1500, 750)
    assert (np.abs(times - expected) < 4 * np.sqrt(expected)).all()


def test_a_pool_that_is_too_small_says_which_class() -> None:
    with pytest.raises(UserError, match=r"pool.txt: 4 images of class 1, but 5 are to be drawn"):
        draw_rows(pool_of([6, 4]), np.array([3, 5]), np.random.default_rng(0))

"""Nearest neighbors against a float64 loop over every pair."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtail.errors import UserError
from dualtail.scores import knn
from dualtail.scores.knn import knn_shares


def brute_force(bank, labels, queries, n_classes, k, temperature):
    """One query, one neighbor at a time, in the order (largest cosine, then first in the bank)."""
    shares = np.zeros((len(queries), n_classes))
    for i, query in enumerate(queries.astype(np.float64)):
        cosines = [
            float(query @ b) / (math.sqrt(query @ query) * math.sqrt(b @ b))
            for b in bank.astype(np.float64)
        ]
        order = sorted(range(len(bank)), key=lambda j: (-cosines[j], j))
        for j in order[:k]:
            shares[i, labels[j]] += math.exp(cosines[j] / temperature)
        shares[i] /= shares[i].sum()
    return shares


@pytest.mark.parametrize("k", [1, 5, 40, 1000])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_against_brute_force(k, dtype):
    rng = np.random.default_rng(k)
    bank = rng.normal(size=(40, 6)).astype(dtype)
    queries = rng.normal(size=(23, 6)).astype(dtype)
    labels = rng.integers(0, 7, size=40)
    found = knn_shares(bank, labels, queries, 7, k=k, temperature=0.1)
    expected = brute_force(bank, labels, queries, 7, k, 0.1)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 9), st.integers(1, 5))
def test_ties_go_to_the_first_of_the_bank(seed, size, k, width):
    """Small integers make equal cosines common, and those of equal vectors exactly equal."""
    rng = np.random.default_rng(seed)
    kinds = np.eye(width)[rng.integers(0, width, size=size)]
    queries = rng.integers(1, 4, size=(4, width)).astype(float)
    labels = np.arange(size)  # every neighbor is a class of its own, so each choice is seen
    found = knn_shares(kinds, labels, queries, size, k=k)
    # The product of a unit vector is one entry of the query: no rounding, so ties are exact.
    expected = brute_force(kinds, labels, queries, size, k, 0.1)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert ((found > 0).sum(axis=1) == min(k, size)).all()


def test_lengths_do_not_matter_and_blocks_neither(monkeypatch):
    rng = np.random.default_rng(0)
    bank, queries = rng.normal(size=(50, 8)), rng.normal(size=(31, 8))
    labels = rng.integers(0, 3, size=50)
    whole = knn_shares(bank, labels, queries, 3, k=7)
    scaled = knn_shares(bank * rng.uniform(1, 9, (50, 1)), labels, 3 * queries, 3, k=7)
    np.testing.assert_allclose(scaled, whole, atol=1e-5)
    monkeypatch.setattr(knn, "BLOCK_BYTES", 4 * 50 * 4)  # four queries at a time
    np.testing.assert_allclose(knn_shares(bank, labels, queries, 3, k=7), whole, atol=1e-6)


def test_small_temperatures_are_the_nearest_neighbor():
    rng = np.random.default_rng(1)
    bank, queries = rng.normal(size=(50, 8)), rng.normal(size=(31, 8))
    labels = rng.integers(0, 5, size=50)
    cold = knn_shares(bank, labels, queries, 5, k=50, temperature=1e-6)
    nearest = knn_shares(bank, labels, queries, 5, k=1)
    assert np.array_equal(cold.argmax(1), nearest.argmax(1))
    assert np.isfinite(cold).all()


ONES = np.ones((3, 2))
ZERO = np.array([[1.0, 0], [0, 0], [1, 1]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k is 0; at least 1"),
        ({"temperature": 0.0}, "temperature is 0.0; a positive number"),
        ({"bank": np.ones(3)}, r"bank must be \(images, width\), not \(3,\)"),
        ({"queries": np.ones((0, 2))}, r"queries must be \(images, width\), not \(0, 2\)"),
        ({"queries": np.ones((3, 5))}, "the bank are 2 wide, of the queries 5"),
        ({"labels": np.zeros(2, int)}, r"\(2,\) labels for 3 features"),
        ({"labels": np.array([0, 1, 2])}, r"outside 0\.\.1"),
        ({"bank": ZERO}, "row 1 of the bank is zero"),
        ({"queries": ONES * [[np.nan], [1], [1]]}, "row 0 of the queries is not finite"),
    ],
)
def test_what_cannot_be_asked(arguments, message):
    values = {"bank": ONES, "labels": np.array([0, 1, 1]), "queries": ONES} | arguments
    options = {name: values[name] for name in ("k", "temperature") if name in values}
    with pytest.raises(UserError, match=message):
        knn_shares(values["bank"], values["labels"], values["queries"], 2, **options)

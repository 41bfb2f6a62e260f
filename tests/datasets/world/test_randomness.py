"""Counter-based random numbers: known values, independence of batching, uniformity."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dualtail.datasets.world.randomness import image_seeds, uniforms

MASK = 2**64 - 1


def splitmix64(state: int) -> int:
    """The published algorithm with Python's integers: one output for the advanced state."""
    z = state
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def test_splitmix64_reference_output() -> None:
    # First outputs of the reference C code for the seed 1234567.
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    states = [(1234567 + k * 0x9E3779B97F4A7C15) & MASK for k in (1, 2, 3)]
    assert [splitmix64(s) for s in states] == expected


@given(st.integers(0, 2**53 - 1), st.integers(0, 1000), st.integers(1, 20))
def test_uniforms_are_a_function_of_seed_and_index(seed: int, start: int, n: int) -> None:
    everything = uniforms(np.array([5, seed, 7]), 0, start + n)
    part = uniforms(np.array([seed]), start, n)
    np.testing.assert_array_equal(everything[1:2, start:], part)
    hashed = splitmix64((seed + 0x9E3779B97F4A7C15) & MASK)
    k = start + 1
    exact = splitmix64((hashed + k * 0x9E3779B97F4A7C15) & MASK) >> 40
    assert part[0, 0] == exact / 2**24


def test_uniforms_are_uniform_and_uncorrelated() -> None:
    values = uniforms(image_seeds(0, 2000, "x"), 0, 50).astype(np.float64)
    assert values.min() >= 0
    assert values.max() < 1
    assert stats.kstest(values.ravel(), "uniform").pvalue > 1e-3
    between_draws = np.corrcoef(values.T)[~np.eye(50, dtype=bool)]
    # 1,225 pairs, standard error 1 / sqrt(2000)
    assert np.abs(between_draws).max() < 5 / np.sqrt(2000)
    neighbors = np.corrcoef(values[:-1].ravel(), values[1:].ravel())[0, 1]
    assert abs(neighbors) < 5 / np.sqrt(values.size)

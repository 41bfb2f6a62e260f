"""Counter-based random numbers: every image has its own, whatever batch it is drawn in.

A `numpy.random.Generator` yields a stream, so that the numbers of an image would depend on how many
were drawn before. Here draw k of the image with seed s is a hash of (s, k) alone (SplitMix64:
Steele, Lea and Flood, 2014), vectorized over images. That makes images independent of batching and
lets the same seed be drawn again with another visibility.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
SEED_BITS = 53  # integers up to 2**53 survive CSV readers and JSON, which may go through float64


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finalizer, a bijection of 64-bit integers."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def stream_seed(seed: int, *names: str) -> int:
    """Return a 64-bit seed for the stream `names` (for example "clip", "images") of a world."""
    text = "\x1f".join([str(seed), *names])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def generator(seed: int, *names: str) -> np.random.Generator:
    """Return a generator of its own for the stream `names` of the world with this seed."""
    return np.random.default_rng(stream_seed(seed, *names))


def image_seeds(seed: int, n: int, *names: str) -> NDArray[np.int64]:
    """Return the seeds (n,) of the images 0 ... n-1 of the stream `names`; 53-bit integers."""
    base = np.uint64(stream_seed(seed, *names))
    counter = np.arange(1, n + 1, dtype=np.uint64)
    return (_mix(base + counter * _GOLDEN) >> np.uint64(64 - SEED_BITS)).astype(np.int64)


def uniforms(seeds: NDArray[np.int64], start: int, n: int) -> NDArray[np.float32]:
    """Return draws start ... start+n-1 of every image, uniform on [0, 1).

    Args:
        seeds: (B,) image seeds.
        start: index of the first draw.
        n: number of draws.

    Returns:
        (B, n) float32, with 24 random bits each.
    """
    counter = np.arange(start + 1, start + n + 1, dtype=np.uint64) * _GOLDEN
    # The seeds are hashed first: consecutive ones would otherwise share shifted streams.
    state = _mix(_mix(seeds.astype(np.uint64) + _GOLDEN)[:, None] + counter)
    return (state >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)

"""The classes: what the head and the body of each creature look like, and what it is called.

A part (head or body) has a code of four attributes: hue, pattern, second color and shape. The 60
codes of the heads differ from one another, and so do those of the bodies, so that either part alone
identifies the class: two semantic factors.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dualtail.datasets.world.randomness import generator
from dualtail.datasets.world.settings import WorldSettings

# Hues are spread by eye: equal steps of HSV hue crowd the greens and leave gaps among the warm
# colors.
HUES = (0.0, 0.055, 0.115, 0.17, 0.30, 0.45, 0.54, 0.62, 0.76, 0.88)
PATTERNS = ("solid", "level stripes", "upright stripes", "dots")
SECOND_COLORS = ("cream", "dark", "opposite")
HEAD_SHAPES = ("round", "square", "cat", "drop")
BODY_SHAPES = ("egg", "box", "bell", "diamond")

# Columns of a code.
HUE, PATTERN, SECOND, SHAPE = range(4)
N_VALUES = (len(HUES), len(PATTERNS), len(SECOND_COLORS), len(HEAD_SHAPES))

LEAST_DIFFERENCE = 0.5
"""Between two species of a creature: one step of hue."""

_SYLLABLE = ("bdglmnprstv", "aeiou", "lmnr")


@dataclass(frozen=True)
class Creatures:
    """The classes of a world.

    Attributes:
        head_codes: (C, 4) int, columns hue, pattern, second color, shape; rows distinct.
        body_codes: (C, 4) int, the same for the bodies.
        names: C distinct made-up words.
    """

    head_codes: NDArray[np.int64]
    body_codes: NDArray[np.int64]
    names: list[str]


def _all_codes() -> NDArray[np.int64]:
    return np.array(list(np.ndindex(*N_VALUES)))


def code_distances(codes: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how different two sets of codes look, (A, B) from codes (A, 4) and (B, 4).

    Hue counts most, by its distance on the circle; the second color hardly shows in a part without
    pattern.
    """
    difference = np.abs(codes[:, None, HUE] - others[None, :, HUE])
    hue = np.minimum(difference, len(HUES) - difference) / 2.0
    pattern = codes[:, None, PATTERN] != others[None, :, PATTERN]
    both_patterned = (codes[:, None, PATTERN] > 0) & (others[None, :, PATTERN] > 0)
    second = codes[:, None, SECOND] != others[None, :, SECOND]
    shape = codes[:, None, SHAPE] != others[None, :, SHAPE]
    weight = np.where(both_patterned, 0.8, 0.3)
    return np.minimum(hue, 1.5) + 1.0 * pattern + weight * second + 0.7 * shape


def spread_codes(n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Choose n distinct codes that look as different as possible, by greedy max-min distance.

    Starting from a random code, the code farthest from its nearest chosen one is added, ties at
    random. The result is shuffled: the order carries no information.

    Returns:
        (n, 4) codes.
    """
    everything = _all_codes()
    # A code that is chosen is at distance 0 and never chosen again: all others are farther.
    rng.shuffle(everything)
    chosen = [0]
    nearest = code_distances(everything, everything[:1])[:, 0]
    for _ in range(n - 1):
        farthest = int(np.argmax(nearest))
        chosen.append(farthest)
        added = code_distances(everything, everything[farthest : farthest + 1])[:, 0]
        nearest = np.minimum(nearest, added)
    return rng.permutation(everything[chosen])


def split_codes(codes: NDArray[np.int64], species: int) -> NDArray[np.int64]:
    """Split every code into codes that look alike.

    The first species of a creature keeps its code. The others, in turn, take the code nearest to it,
    but no nearer than `LEAST_DIFFERENCE`, that nobody has yet; ties go to the first in the order of
    the attributes.

    Args:
        codes: (C, 4) distinct codes.
        species: Codes to make of each.

    Returns:
        (C * species, 4) distinct codes, those of one creature together.
    """
    everything = _all_codes()
    distance = code_distances(codes, everything)
    # Below that lies only the second color of a part without pattern, which hardly shows.
    distance[distance < LEAST_DIFFERENCE] = np.inf
    taken = (codes[:, None] == everything[None]).all(axis=2).any(axis=0)
    distance[:, taken] = np.inf
    result = np.empty((len(codes), species, 4), dtype=np.int64)
    result[:, 0] = codes
    for s in range(1, species):
        for c in range(len(codes)):
            nearest = int(np.argmin(distance[c]))
            result[c, s] = everything[nearest]
            distance[:, nearest] = np.inf
    return result.reshape(-1, 4)


def invent_names(n: int, rng: np.random.Generator) -> list[str]:
    """Return n distinct made-up words of two syllables, such as "lumrel"."""
    names: list[str] = []
    while len(names) < n:
        word = "".join(rng.choice(list(letters)) for letters in _SYLLABLE * 2)
        if word not in names:
            names.append(word)
    return names


def classes_of(settings: WorldSettings, name: str) -> Creatures:
    """Return the classes of a corpus or dataset: creatures, or species of a fine-grained dataset."""
    genera = creatures(settings)
    if name not in settings.fine_grained:
        return genera
    species = settings.fine_grained[name].species
    epithets = invent_names(species, generator(settings.seed, name, "names"))
    return Creatures(
        head_codes=split_codes(genera.head_codes, species),
        body_codes=split_codes(genera.body_codes, species),
        names=[f"{genus} {epithet}" for genus in genera.names for epithet in epithets],
    )


def creatures(settings: WorldSettings) -> Creatures:
    """Return the classes of the world; a pure function of `seed` and `n_classes`."""
    n = settings.n_classes
    return Creatures(
        head_codes=spread_codes(n, generator(settings.seed, "head codes")),
        body_codes=spread_codes(n, generator(settings.seed, "body codes")),
        names=invent_names(n, generator(settings.seed, "names")),
    )

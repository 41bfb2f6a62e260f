"""Which images are in A and B. Both are made from one pool: the first images of each factor."""

from dataclasses import dataclass
from typing import NamedTuple

SETS = {"A": 0.5, "B": 0.9}
"""Set -> share of the first factor (C = 0); the second (C = 1) has the rest."""

DATASET = "six_classes"
"""Name of the study's data in dumps and in the score table."""


@dataclass(frozen=True)
class FactorClass:
    """A class and the parts that show its two factors."""

    name: str
    parts: tuple[str, str]


class PoolImage(NamedTuple):
    """One image of the pool."""

    split: str
    label: int
    factor: int
    number: int

    @property
    def path(self) -> str:
        """Its name in the archive: `train/2/1/00017.png` (split, class, factor, number)."""
        return f"{self.split}/{self.label}/{self.factor}/{self.number:05d}.png"


def factor_counts(per_class: int, share: float) -> tuple[int, int]:
    """Return how many images of a class show each factor; the sum is `per_class`."""
    first = int(share * per_class + 0.5)
    return first, per_class - first


def pool_counts(per_class: int) -> tuple[int, int]:
    """Return how many images of each factor a class needs, so that every set can be made."""
    counts = [factor_counts(per_class, share) for share in SETS.values()]
    return max(first for first, _ in counts), max(second for _, second in counts)


def images_of(name: str, split: str, n_classes: int, per_class: int) -> list[PoolImage]:
    """Return the images of one split of a set, by class, factor and number."""
    counts = factor_counts(per_class, SETS[name])
    return [
        PoolImage(split, label, factor, number)
        for label in range(n_classes)
        for factor, count in enumerate(counts)
        for number in range(count)
    ]

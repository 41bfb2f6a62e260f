"""Which sets of foundation models are fused and compared (Table 8)."""

from collections.abc import Sequence
from itertools import combinations

ALL_SETS_UP_TO = 5
"""With more members than this only singles, pairs, all but one and all are formed."""


def member_sets(members: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the non-empty sets of members, small ones first, in the order of the config."""
    n = len(members)
    sizes = range(1, n + 1) if n <= ALL_SETS_UP_TO else (1, 2, n - 1, n)
    return [chosen for size in sizes for chosen in combinations(members, size)]

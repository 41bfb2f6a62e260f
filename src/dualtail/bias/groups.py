"""Groups of classes: D by training count, P by the pre-training prior, and their crossing.

All functions return a dictionary from group name to class indices (int64, ascending), in the order
Many, Medium, Few. The groups of a scheme are disjoint and cover all classes; a group may be empty.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dualtail.bias.softmax import FloatArray, IntArray
from dualtail.errors import UserError

D_GROUPS = ("D-Many", "D-Medium", "D-Few")
P_GROUPS = ("P-Many", "P-Medium", "P-Few")
CROSS_GROUPS = tuple(f"{d}/{p}" for d in D_GROUPS for p in P_GROUPS)
"""Row by row as in Fig. 2 and 6: `D-Many/P-Many`, `D-Many/P-Medium` ... `D-Few/P-Few`."""

Groups = dict[str, IntArray]


def d_groups(train_counts: ArrayLike, many: int = 100, few: int = 20) -> Groups:
    """Group classes by their number of training images n (data imbalance).

    D-Many: n > many; D-Medium: few <= n <= many; D-Few: n < few.

    Args:
        train_counts: (C,) integers from 0.

    Raises:
        UserError: counts that are negative, not whole or not (C,); thresholds in the wrong order.
    """
    counts = _vector(train_counts, "train_counts")
    if (counts < 0).any() or (counts != np.floor(counts)).any():
        bad = np.flatnonzero((counts < 0) | (counts != np.floor(counts)))[0]
        raise UserError(
            f"train_counts: class {bad} has {counts[bad]:g}; counts are whole numbers from 0"
        )
    if not 0 <= few <= many + 1:
        raise UserError(f"groups: few = {few}, many = {many}; few must not exceed many + 1")
    masks = (counts > many, (counts >= few) & (counts <= many), counts < few)
    return {name: np.flatnonzero(mask) for name, mask in zip(D_GROUPS, masks, strict=True)}


def _thirds(n_classes: int) -> tuple[int, int]:
    return n_classes // 3, n_classes // 3


def _thirty_thirty_forty(n_classes: int) -> tuple[int, int]:
    return 3 * n_classes // 10, 3 * n_classes // 10


P_SCHEMES: dict[str, Callable[[int], tuple[int, int]]] = {
    "thirds": _thirds,
    "30-30-40": _thirty_thirty_forty,
}
"""Sizes of P-Many and P-Medium for C classes, rounded down; P-Few takes the rest."""


def p_groups(q: ArrayLike, scheme: str = "thirds") -> Groups:
    """Group classes by descending prior q (parameter imbalance).

    `thirds` is what fits the paper's Table 3, `30-30-40` what its text says. Sizes are rounded
    down and P-Few takes the rest: 1000 classes are 333 / 333 / 334, 365 are 121 / 121 / 123. Ties
    in q are broken by class index, the lower one counting as more frequent.

    Args:
        q: (C,) positive; only its order matters.

    Raises:
        UserError: q not (C,), not positive or not finite; an unknown scheme.
    """
    values = _vector(q, "q")
    if not (values > 0).all():
        raise UserError(
            f"q: class {np.flatnonzero(~(values > 0))[0]} has {values[~(values > 0)][0]:g}; "
            "q is positive"
        )
    if scheme not in P_SCHEMES:
        raise UserError(f"p_groups: {scheme!r}; known are {', '.join(P_SCHEMES)}")
    n_many, n_medium = P_SCHEMES[scheme](values.size)
    order = np.argsort(-values, kind="stable")
    parts = np.split(order, [n_many, n_many + n_medium])
    return {name: np.sort(part) for name, part in zip(P_GROUPS, parts, strict=True)}


def cross_groups(d: Mapping[str, IntArray], p: Mapping[str, IntArray]) -> Groups:
    """Return the nine intersections of D- and P-groups (Fig. 2, 6), in the order of `CROSS_GROUPS`.

    Raises:
        UserError: the two groupings are of different numbers of classes.
    """
    n_d, n_p = (sum(map(len, groups.values())) for groups in (d, p))
    if n_d != n_p:
        raise UserError(f"groups: D-groups of {n_d} classes, P-groups of {n_p}")
    return {
        f"{d_name}/{p_name}": np.intersect1d(d[d_name], p[p_name])
        for d_name in D_GROUPS
        for p_name in P_GROUPS
    }


def group_labels(groups: Mapping[str, IntArray], n_classes: int) -> NDArray[np.str_]:
    """Return the name of the group of every class, (C,), from the groups of one scheme."""
    labels = np.empty(n_classes, dtype=object)
    for name, classes in groups.items():
        labels[classes] = name
    return labels.astype(str)


def _vector(values: ArrayLike, name: str) -> FloatArray:
    array = np.asarray(values)
    if array.ndim != 1 or array.size == 0:
        raise UserError(f"{name}: shape {array.shape}; one number per class is needed")
    if not (np.issubdtype(array.dtype, np.number) and np.isrealobj(array)):
        raise UserError(f"{name}: type {array.dtype}; numbers are needed")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise UserError(f"{name}: class {np.flatnonzero(~np.isfinite(array))[0]} is not finite")
    return array

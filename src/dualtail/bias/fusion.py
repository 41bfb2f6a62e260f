"""Backdoor adjustment: P(Y | do(X)) = sum_m P(Y | X, member m) P(m) (Eq. 7), P(m) = 1 / M.

Eq. 7 averages probabilities; the authors' release sums logits, which is what produced the paper's
tables. Their sum and the mean taken here rank classes alike.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dualtail.bias.softmax import FloatArray, check_logits, log_softmax, read_block, row_blocks
from dualtail.errors import UserError


def mean_logits(members: list[FloatArray], weights: FloatArray) -> FloatArray:
    """Return the weighted mean of logits; `members` are M blocks (n, C)."""
    total = weights[0] * members[0]
    for weight, block in zip(weights[1:], members[1:], strict=True):
        total += weight * block
    return total


def mean_probabilities(members: list[FloatArray], weights: FloatArray) -> FloatArray:
    """Return the log of the weighted mean of softmax probabilities (Eq. 7).

    Worked out in logarithms, so that a class far from winning keeps its rank instead of log 0.
    """
    total = log_softmax(members[0]) + np.log(weights[0])
    for weight, block in zip(weights[1:], members[1:], strict=True):
        np.logaddexp(total, log_softmax(block) + np.log(weight), out=total)
    return total


FUSION_RULES: dict[str, Callable[[list[FloatArray], FloatArray], FloatArray]] = {
    "logits": mean_logits,
    "probabilities": mean_probabilities,
}
"""Rules by name: (M blocks (n, C) in float64, positive weights (M,) of sum 1) -> block (n, C)."""


def fuse(
    members: Sequence[ArrayLike],
    mode: str = "logits",
    weights: Sequence[float] | None = None,
    names: Sequence[str] | None = None,
) -> NDArray[np.float32]:
    """Fuse the logits of M members over the same images.

    Memory besides the inputs and the result: (M + 3) blocks of 32 MiB.

    Args:
        members: M arrays (N, C), possibly memory-mapped and in half precision.
        mode: a key of `FUSION_RULES`.
        weights: (M,) P(m) up to a factor: numbers from 0 that are normalized to sum 1; a member of
            weight 0 is left out (but still checked). None: 1 / M each.
        names: (M,) of the members, for messages.

    Returns:
        (N, C) float32: mean logits, or the logarithms of mean probabilities, which are logits too.

    Raises:
        UserError: no member, shapes that differ, an unknown mode, bad weights, logits that are not
            finite (member and row are named).
    """
    if mode not in FUSION_RULES:
        raise UserError(f"fusion: {mode!r}; known are {', '.join(FUSION_RULES)}")
    if len(members) == 0:
        raise UserError("fusion: no members; at least one is needed")
    labels = list(names) if names is not None else [f"member {m}" for m in range(len(members))]
    if len(labels) != len(members):
        raise UserError(f"fusion: {len(labels)} names for {len(members)} members")
    arrays = [check_logits(logits, label) for logits, label in zip(members, labels, strict=True)]
    for array, label in zip(arrays, labels, strict=True):
        if array.shape != arrays[0].shape:
            raise UserError(
                f"{label}: shape {array.shape}; {labels[0]} has {arrays[0].shape} "
                "(members are fused over the same images and classes)"
            )
    shares = member_weights(weights, len(members))
    used = np.flatnonzero(shares)
    n_images, n_classes = arrays[0].shape
    fused = np.empty((n_images, n_classes), dtype=np.float32)
    for rows in row_blocks(n_images, n_classes):
        blocks = [
            read_block(array, rows, label) for array, label in zip(arrays, labels, strict=True)
        ]
        fused[rows] = FUSION_RULES[mode]([blocks[m] for m in used], shares[used])
    return fused


def member_weights(weights: Sequence[float] | None, n_members: int) -> FloatArray:
    """Return P(m) (M,), sum 1.

    Raises:
        UserError: the wrong number of weights, a weight that is negative or not finite, all zero.
    """
    if weights is None:
        return np.full(n_members, 1.0 / n_members)
    values = np.asarray(weights, dtype=np.float64)
    if values.shape != (n_members,):
        raise UserError(f"fusion weights: {values.size} for {n_members} members")
    if not np.isfinite(values).all() or (values < 0).any() or values.max() == 0:
        raise UserError(
            f"fusion weights: {values.tolist()}; allowed are numbers from 0, not all zero"
        )
    # By the largest first: the sum of huge weights must not overflow.
    values = values / values.max()
    return values / values.sum()

"""Backdoor adjustment: P(Y | do(X)) = sum_m P(Y | X, member m) P(m) (Eq. 7), P(m) = 1 / M.

Eq. 7 averages probabilities; the authors' release sums logits, which is what produced the paper's
tables. Each is a rule of `fusion_rules`.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dualtail.bias.fusion_rules.method import FusionRule
from dualtail.bias.softmax import FloatArray, check_logits, read_block, row_blocks
from dualtail.errors import UserError


def fuse(
    members: Sequence[ArrayLike],
    rule: FusionRule,
    weights: Sequence[float] | FloatArray | None = None,
    names: Sequence[str] | None = None,
    scales: Sequence[float] | FloatArray | None = None,
) -> NDArray[np.float32]:
    """Fuse the logits of M members over the same images.

    Memory besides the inputs and the result: (M + 3) blocks of 32 MiB.

    Args:
        members: M arrays (N, C), possibly memory-mapped and in half precision.
        rule: How the rows of one image are joined.
        weights: (M,) P(m) up to a factor: numbers from 0 that are normalized to sum 1; a member of
            weight 0 is left out (but still checked). None: 1 / M each.
        names: (M,) of the members, for messages.
        scales: (M,) what each member's logits are multiplied by first, 1 / temperature; None: nothing.

    Returns:
        (N, C) float32: mean logits, or the logarithms of mean probabilities, which are logits too.

    Raises:
        UserError: no member, shapes that differ, bad weights, logits that are not finite (member and
            row are named), or a rule that returns another shape or something that is not finite.
    """
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
        if scales is not None:
            for block, scale in zip(blocks, scales, strict=True):
                block *= scale
        result = np.asarray(rule.fuse([blocks[m] for m in used], shares[used]))
        fused[rows] = _checked(result, blocks[0].shape, rows.start, type(rule).__name__)
    return fused


def member_weights(weights: Sequence[float] | FloatArray | None, n_members: int) -> FloatArray:
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


def _checked(
    result: NDArray[np.generic], shape: tuple[int, ...], start: int, rule: str
) -> NDArray[np.generic]:
    """Trust nobody's rule."""
    if result.shape != shape or result.dtype.kind not in "fiu":
        raise UserError(
            f"fusion rule {rule}: returned {result.dtype} {result.shape} for members {shape}; "
            "it must be real logits of the same shape"
        )
    # Larger ones would be infinite in float32.
    finite = np.isfinite(result) & (np.abs(result) <= np.finfo(np.float32).max)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise UserError(
            f"fusion rule {rule}: returned {result[row, column]} in row {start + row}, class "
            f"{column}; logits must be finite (log 0: take the logarithm of something positive)"
        )
    return result

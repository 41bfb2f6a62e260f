"""Weighted k-nearest-neighbor classification of features (Table 4): how good they are without a head.

The bank is a balanced labeled split, the queries another one. Everything is float32 matrix products
in blocks of queries, so that memory does not grow with their number.
"""

import numpy as np

from dualtail.errors import UserError

BLOCK_BYTES = 64 * 2**20
"""Similarities are held for so many queries at a time."""


def knn_shares(
    bank: np.ndarray,
    bank_labels: np.ndarray,
    queries: np.ndarray,
    n_classes: int,
    *,
    k: int = 200,
    temperature: float = 0.1,
) -> np.ndarray:
    """Return the share of every class in the weighted vote of the nearest neighbors.

    Neighbors are the k bank rows of largest cosine; each votes for its class with weight
    exp(cos / temperature). Of several rows that tie for the last place, those first in the bank
    vote.

    Args:
        bank: (B, D) features; may be a memory map, and so may `queries`.
        bank_labels: (B,) int class of each.
        queries: (N, D) features.
        n_classes: C.
        k: Neighbors that vote; all of the bank if it is smaller.
        temperature: How fast a vote's weight falls with distance.

    Returns:
        (N, C) float32; rows sum to 1.

    Raises:
        UserError: k or a temperature that is not positive, shapes or labels that do not fit, a
            feature that is zero (it has no direction) or not finite.
    """
    labels = np.asarray(bank_labels)
    _check(bank, labels, queries, n_classes, k, temperature)
    k = min(k, len(bank))
    directions = _directions(bank, 0, "bank")
    shares = np.empty((len(queries), n_classes), dtype=np.float32)
    step = max(1, BLOCK_BYTES // (4 * len(bank)))
    for start in range(0, len(queries), step):
        rows = slice(start, min(start + step, len(queries)))
        cosines = _directions(queries[rows], start, "queries") @ directions.T
        row, neighbor = _nearest(cosines, k)
        near = cosines[row, neighbor]
        top = near.reshape(-1, k).max(axis=1)
        # Relative to the nearest: the same shares, and no temperature is too small.
        weights = np.exp((near - np.repeat(top, k)).astype(np.float64) / temperature)
        size = len(cosines) * n_classes
        votes = np.bincount(row * n_classes + labels[neighbor], weights, size)
        votes = votes.reshape(-1, n_classes)
        shares[rows] = votes / votes.sum(axis=1, keepdims=True)
    return shares


def _check(
    bank: np.ndarray,
    labels: np.ndarray,
    queries: np.ndarray,
    n_classes: int,
    k: int,
    temperature: float,
) -> None:
    if k < 1:
        raise UserError(f"knn: k is {k}; at least 1")
    if not 0 < temperature < float("inf"):
        raise UserError(f"knn: temperature is {temperature}; a positive number")
    for name, features in (("bank", bank), ("queries", queries)):
        if features.ndim != 2 or 0 in features.shape:
            raise UserError(f"knn: {name} must be (images, width), not {features.shape}")
    if bank.shape[1] != queries.shape[1]:
        raise UserError(
            f"knn: features of the bank are {bank.shape[1]} wide, of the queries {queries.shape[1]}"
        )
    if labels.shape != (len(bank),):
        raise UserError(f"knn: {labels.shape} labels for {len(bank)} features of the bank")
    if labels.min() < 0 or labels.max() >= n_classes:
        raise UserError(f"knn: a label of the bank is outside 0..{n_classes - 1}")


def _directions(features: np.ndarray, first: int, name: str) -> np.ndarray:
    """Return (N, D) float32 rows of length one."""
    values = np.array(features, dtype=np.float32)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    wrong = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if wrong.size:
        what = "zero" if lengths[wrong[0], 0] == 0 else "not finite"
        raise UserError(f"knn: the feature in row {first + wrong[0]} of the {name} is {what}")
    return np.divide(values, lengths, out=values)


def _nearest(cosines: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return row and column of the k largest values of every row, k entries per row, in order.

    A partition of values with a mask takes a tenth of the matrix product's time; the partition of
    indices would take twice that, and would leave open which of several ties it finds.
    """
    n, size = cosines.shape
    last = np.partition(cosines, size - k, axis=1)[:, size - k]
    row, column = np.divmod(np.flatnonzero(cosines >= last[:, None]), size)
    if row.size > n * k:  # ties for the last place: the first in the bank stay
        value = cosines[row, column]
        tied = value == last[row]
        spare = k - np.bincount(row, ~tied, n).astype(np.int64)
        before = np.cumsum(tied) - tied
        starts = np.searchsorted(row, np.arange(n))
        kept = ~tied | (before - before[starts][row] < spare[row])
        row, column = row[kept], column[kept]
    return row, column

"""Reading logits in bounded blocks of rows, and the softmax of a block."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dualtail.errors import UserError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

BLOCK_BYTES = 32 * 2**20


def row_blocks(n_rows: int, n_columns: int, itemsize: int = 8) -> Iterator[slice]:
    """Yield slices that cut `n_rows` rows into blocks of about 32 MiB (at least one row)."""
    step = max(1, BLOCK_BYTES // max(1, n_columns * itemsize))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def check_logits(logits: ArrayLike, name: str = "logits") -> NDArray[np.floating]:
    """Return `logits` as a two-dimensional floating array, without copying a memory map.

    Only the shape and the type are looked at; `read_block` looks at the values.

    Raises:
        UserError: not (N, C), empty, fewer than two classes or not floating point.
    """
    array = np.asanyarray(logits)
    if array.ndim != 2:
        raise UserError(f"{name}: shape {array.shape}; logits are (images, classes)")
    if array.shape[0] == 0:
        raise UserError(f"{name}: no images (shape {array.shape})")
    if array.shape[1] < 2:
        raise UserError(f"{name}: {array.shape[1]} class(es); at least two are needed")
    if not np.issubdtype(array.dtype, np.floating):
        raise UserError(f"{name}: type {array.dtype}; logits are float16, float32 or float64")
    return array


def read_block(
    logits: NDArray[np.floating], rows: slice, name: str = "logits", dtype: type = np.float64
) -> NDArray:
    """Return a fresh copy of some rows as `dtype`, refusing NaN and infinity.

    Raises:
        UserError: a value is not finite; the message names `name` and the row.
    """
    block = np.array(logits[rows], dtype=dtype)
    # A sum is finite only if every term is, and costs a fraction of the test of each value.
    with np.errstate(over="ignore", invalid="ignore"):
        suspicious = ~np.isfinite(block.sum(axis=1))
    for row in np.flatnonzero(suspicious):
        bad = np.flatnonzero(~np.isfinite(block[row]))
        if bad.size:
            raise UserError(
                f"{name}: row {rows.start + row}, class {bad[0]} is {block[row, bad[0]]}; "
                "logits must be finite (half precision overflows above 65504: dump them again)"
            )
    return block


def predict(logits: np.ndarray) -> np.ndarray:
    """Return the class of the largest logit, (N,) int64; ties go to the lowest class index.

    Raises:
        UserError: not (N, C) floating point, or a value that is not finite.
    """
    logits = check_logits(logits)
    predictions = np.empty(logits.shape[0], dtype=np.int64)
    for rows in row_blocks(*logits.shape, itemsize=4):
        predictions[rows] = read_block(logits, rows, dtype=np.float32).argmax(axis=1)
    return predictions


def check_labels(labels: ArrayLike, n_images: int, n_classes: int) -> IntArray:
    """Return `labels` (N,) as int64 class indices.

    Raises:
        UserError: wrong shape or type, or a label outside 0 .. n_classes - 1 (the row is named).
    """
    array = np.asarray(labels)
    if array.shape != (n_images,):
        raise UserError(f"labels: shape {array.shape}; the logits have {n_images} images")
    if not np.issubdtype(array.dtype, np.integer):
        raise UserError(f"labels: type {array.dtype}; labels are integer class indices")
    array = array.astype(np.int64)
    wrong = np.flatnonzero((array < 0) | (array >= n_classes))
    if wrong.size:
        raise UserError(
            f"labels: row {wrong[0]} is {array[wrong[0]]}; allowed are 0 to {n_classes - 1}"
        )
    return array


def log_softmax(block: FloatArray) -> FloatArray:
    """Return log softmax over the last axis, in float64."""
    shifted = block - block.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))

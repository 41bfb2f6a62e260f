"""Post-hoc logit adjustment: GLA and its halves (Eq. 4); the tuned half is LA (Menon et al.).

Adjusted logits are float32 (N, C): a sum of two half-precision numbers needs more than half.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dualtail.bias.settings import ADJUSTMENTS
from dualtail.bias.softmax import FloatArray, check_logits, read_block, row_blocks
from dualtail.errors import UserError


def log_training_prior(
    train_counts: ArrayLike, class_names: Sequence[str] | None = None
) -> FloatArray:
    """Return log pi_s (C,) from training counts.

    Raises:
        UserError: a class without training images (pi_s = 0 has no logarithm), or bad counts.
    """
    counts = np.asarray(train_counts)
    if counts.ndim != 1 or not np.issubdtype(counts.dtype, np.number):
        raise UserError(
            f"train_counts: shape {counts.shape}, type {counts.dtype}; one number per class is needed"
        )
    counts = counts.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(counts) | (counts < 0))
    if bad.size:
        raise UserError(f"train_counts: class {bad[0]} has {counts[bad[0]]:g}")
    empty = np.flatnonzero(counts == 0)
    if empty.size:
        names = [
            str(c) if class_names is None else f"{c} ({class_names[c]})" for c in empty[:5].tolist()
        ]
        more = f" and {empty.size - 5} more" if empty.size > 5 else ""
        raise UserError(
            f"train_counts: no training image of class {', '.join(names)}{more}; logit adjustment "
            "needs every class (remove the class or add images)"
        )
    return np.log(counts / counts.sum())


def log_prior(q: ArrayLike) -> FloatArray:
    """Return log q (C,).

    Raises:
        UserError: q is not (C,), not positive or not finite.
    """
    values = np.asarray(q, dtype=np.float64)
    if values.ndim != 1:
        raise UserError(f"q: shape {values.shape}; one number per class is needed")
    bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
    if bad.size:
        raise UserError(f"q: class {bad[0]} has {values[bad[0]]:g}; q is positive and finite")
    return np.log(values)


def adjust(
    name: str,
    *,
    zero_shot: ArrayLike | None = None,
    tuned: ArrayLike | None = None,
    q: ArrayLike | None = None,
    train_counts: ArrayLike | None = None,
    class_names: Sequence[str] | None = None,
    scales: ArrayLike | None = None,
) -> NDArray[np.float32]:
    """Return a (f_zs - log q) + b (f_CE - log pi_s), or one of the two, by `ADJUSTMENTS[name]`.

    Args:
        zero_shot, tuned: (N, C) logits of the zero-shot model and of the model tuned with CE.
        q: (C,) pre-training prior.
        train_counts: (C,) downstream training counts.
        class_names: (C,) for messages only.
        scales: (a, b).

    Raises:
        UserError: an unknown name, an input it needs but did not get, shapes that do not fit, zero
            counts, a q that is not positive, logits that are not finite.
    """
    if name not in ADJUSTMENTS:
        raise UserError(f"adjustment: {name!r}; known are {', '.join(ADJUSTMENTS)}")
    given = {"zero_shot": zero_shot, "tuned": tuned, "q": q, "train_counts": train_counts}
    given["scales"] = scales
    logits, log_priors, a, b = {}, {}, 1.0, 1.0
    for need in ADJUSTMENTS[name]:
        source = given[need]
        if source is None:
            raise UserError(f"adjustment {name}: needs {need}")
        if need == "q":
            log_priors[need] = log_prior(source)
        elif need == "train_counts":
            log_priors[need] = log_training_prior(source, class_names)
        elif need == "scales":
            a, b = np.asarray(source, dtype=float)
        else:
            logits[need] = check_logits(source, need)
    factors = {"zero_shot": a, "q": a, "tuned": b, "train_counts": b}
    return _sum(logits, log_priors, factors)


def _sum(
    logits: dict[str, NDArray[np.floating]],
    log_priors: dict[str, FloatArray],
    factors: dict[str, float],
) -> NDArray[np.float32]:
    """The sum of the logits less the sum of the log priors, each times its factor, block by block."""
    first, shape = next((name, array.shape) for name, array in logits.items())
    for name, array in logits.items():
        if array.shape != shape:
            raise UserError(f"{name}: shape {array.shape}; {first} has {shape}")
    for name, values in log_priors.items():
        if values.shape != (shape[1],):
            raise UserError(f"{name}: {values.size} classes; {first} has {shape[1]}")
    bias = -np.sum([factors[name] * values for name, values in log_priors.items()], axis=0)
    total = np.empty(shape, dtype=np.float32)
    for rows in row_blocks(shape[0], shape[1]):
        total[rows] = bias + sum(
            factors[name] * read_block(array, rows, name) for name, array in logits.items()
        )
    return total

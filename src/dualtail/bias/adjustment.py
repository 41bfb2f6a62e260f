"""Post-hoc logit adjustment: LA (Menon et al.) and GLA with its halves (Eq. 4).

Adjusted logits are float32 (N, C): a sum of two half-precision numbers needs more than half.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dualtail.bias.softmax import FloatArray, check_logits, read_block, row_blocks
from dualtail.errors import UserError

Logits = NDArray[np.float32]


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
            f"train_counts: shape {counts.shape}, type {counts.dtype}; one number a class is needed"
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
        raise UserError(f"q: shape {values.shape}; one number a class is needed")
    bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
    if bad.size:
        raise UserError(f"q: class {bad[0]} has {values[bad[0]]:g}; q is positive and finite")
    return np.log(values)


def adjust_la(*, tuned: ArrayLike, log_pi_s: FloatArray) -> Logits:
    """Return f - log pi_s: post-hoc logit adjustment of a model tuned with CE."""
    return _sum({"tuned": tuned}, {"train_counts": log_pi_s})


def adjust_gla_zs(*, zero_shot: ArrayLike, log_q: FloatArray) -> Logits:
    """Return f_zs - log q: the zero-shot half of GLA (Eq. 4)."""
    return _sum({"zero_shot": zero_shot}, {"q": log_q})


def adjust_gla(
    *, zero_shot: ArrayLike, tuned: ArrayLike, log_q: FloatArray, log_pi_s: FloatArray
) -> Logits:
    """Return f_zs - log q + f_CE - log pi_s: GLA (Eq. 4)."""
    return _sum({"zero_shot": zero_shot, "tuned": tuned}, {"q": log_q, "train_counts": log_pi_s})


@dataclass(frozen=True)
class Adjustment:
    """An adjustment and the keyword arguments it takes."""

    function: Callable[..., Logits]
    needs: tuple[str, ...]


ADJUSTMENTS: dict[str, Adjustment] = {
    "la": Adjustment(adjust_la, ("tuned", "log_pi_s")),
    "gla-zs": Adjustment(adjust_gla_zs, ("zero_shot", "log_q")),
    # The tuned half of Eq. 4 is post-hoc LA of the CE model.
    "gla-ft": Adjustment(adjust_la, ("tuned", "log_pi_s")),
    "gla": Adjustment(adjust_gla, ("zero_shot", "tuned", "log_q", "log_pi_s")),
}


def adjust(
    name: str,
    *,
    zero_shot: ArrayLike | None = None,
    tuned: ArrayLike | None = None,
    q: ArrayLike | None = None,
    train_counts: ArrayLike | None = None,
    class_names: Sequence[str] | None = None,
) -> Logits:
    """Return the logits (N, C) adjusted by `ADJUSTMENTS[name]`; inputs it does not use are ignored.

    Args:
        zero_shot, tuned: (N, C) logits of the zero-shot model and of the model tuned with CE.
        q: (C,) pre-training prior.
        train_counts: (C,) downstream training counts.
        class_names: (C,) for messages only.

    Raises:
        UserError: an unknown name, an input it needs but did not get, shapes that do not fit, zero
            counts, a q that is not positive, logits that are not finite.
    """
    if name not in ADJUSTMENTS:
        raise UserError(f"adjustment: {name!r}; known are {', '.join(ADJUSTMENTS)}")
    adjustment = ADJUSTMENTS[name]
    sources = {"zero_shot": zero_shot, "tuned": tuned, "log_q": q, "log_pi_s": train_counts}
    arguments = {}
    for argument in adjustment.needs:
        source = sources[argument]
        if source is None:
            given = {"log_q": "q", "log_pi_s": "train_counts"}.get(argument, argument)
            raise UserError(f"adjustment {name}: needs {given}")
        if argument == "log_q":
            arguments[argument] = log_prior(source)
        elif argument == "log_pi_s":
            arguments[argument] = log_training_prior(source, class_names)
        else:
            arguments[argument] = source
    return adjustment.function(**arguments)


def _sum(terms: dict[str, ArrayLike], log_priors: dict[str, FloatArray]) -> Logits:
    """Return the sum of the logits less the sum of the log priors, block by block."""
    arrays = {name: check_logits(logits, name) for name, logits in terms.items()}
    first, shape = next((name, array.shape) for name, array in arrays.items())
    for name, array in arrays.items():
        if array.shape != shape:
            raise UserError(f"{name}: shape {array.shape}; {first} has {shape}")
    for name, log_values in log_priors.items():
        if log_values.shape != (shape[1],):
            raise UserError(f"{name}: {log_values.size} classes; {first} has {shape[1]}")
    bias = -np.sum(list(log_priors.values()), axis=0)
    total = np.empty(shape, dtype=np.float32)
    for rows in row_blocks(shape[0], shape[1]):
        block = bias + sum(read_block(array, rows, name) for name, array in arrays.items())
        total[rows] = block
    return total

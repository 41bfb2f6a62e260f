"""The strength of the ridge on log q, by held-out likelihood."""

from typing import NamedTuple

import numpy as np

from dualtail.bias.folds import held_out_folds
from dualtail.bias.prior.regression import BiasRegression
from dualtail.bias.softmax import FloatArray
from dualtail.errors import UserError

RIDGES = tuple(10.0 ** (exponent / 2) for exponent in range(6, -7, -1))
"""1000 down to 0.001 in half decades. CLIP's q on ImageNet has var(log q) = 0.6, i.e. ridge 1.7."""

PATIENCE = 2
"""Weaker ridges are not tried after this many without a new best (the curve has one minimum)."""


class RidgePoint(NamedTuple):
    """One point of the curve: ridge and mean held-out negative log-likelihood in nats."""

    ridge: float
    loss: float


def strength_of(
    ridge: float | str, regression: BiasRegression, *, seed: int
) -> tuple[float, tuple[RidgePoint, ...], FloatArray]:
    """Return a ridge given as a number or "auto" as `choose_ridge` does.

    Raises:
        UserError: neither "auto" nor a number from 0.
    """
    if isinstance(ridge, str):
        if ridge != "auto":
            raise UserError(f'ridge: {ridge!r}; allowed are "auto" and numbers from 0')
        return choose_ridge(regression, seed=seed)
    strength = float(ridge)
    if not (np.isfinite(strength) and strength >= 0):
        raise UserError(f'ridge: {ridge}; allowed are "auto" and numbers from 0')
    return strength, (), np.zeros(regression.n_classes)


def choose_ridge(
    regression: BiasRegression, *, seed: int
) -> tuple[float, tuple[RidgePoint, ...], FloatArray]:
    """Choose the ridge with the highest held-out likelihood.

    All folds are solved at once, from the strongest ridge to the weakest, each from the optimum of
    the one before, so that a runaway optimum is only approached as far as it pays.

    Returns:
        The ridge, the curve as far as it was followed, and a start: the folds' mean beta (C,).
    """
    if regression.n_images < 2:
        raise UserError('ridge: "auto" needs at least two images; give a number')
    held_out = held_out_folds(regression.labels, seed=seed)
    training = np.where(held_out, 0.0, 1.0)
    beta = np.zeros((regression.n_classes, held_out.shape[1]))
    path: list[RidgePoint] = []
    best, best_beta = np.inf, beta
    for ridge in RIDGES:
        solution = regression.solve(
            weights=training,
            penalty=ridge / training.sum(axis=0),
            start=beta,
            # The held-out loss is wanted to about 1e-5, not the last digits of beta.
            target=3e-4 / regression.n_classes,
        )
        beta = solution.beta
        loss = float(np.mean(regression.losses(beta)[held_out]))
        path.append(RidgePoint(ridge, loss))
        if loss < best:
            best, best_beta = loss, beta
        elif len(path) - 1 - int(np.argmin([point.loss for point in path])) >= PATIENCE:
            break
    chosen = min(path, key=lambda point: point.loss)
    return chosen.ridge, tuple(path), best_beta.mean(axis=1)

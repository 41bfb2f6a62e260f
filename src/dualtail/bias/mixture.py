"""Weights of a mixture of probabilities by its likelihood: P(m) of Eq. 7, estimated.

sum_n log sum_m w_m p_m(y_n) is concave in the weights w. Minimized is its negative mean plus sum(w) over
w >= 0, whose optimum has sum(w) = 1 by itself.
"""

import numpy as np

from dualtail.bias.box_newton import TARGET, Local, Minimum, minimize
from dualtail.bias.softmax import FloatArray


def fit_mixture(
    log_p: FloatArray,
    image_weights: FloatArray,
    start: FloatArray | None = None,
    target: float = TARGET,
) -> Minimum:
    """Return the weights (M,) on the simplex of the largest likelihood.

    Args:
        log_p: (N, M) log probability that each member gives to the true class.
        image_weights: (N,) what each image counts, sum 1.
        start: (M,) First guess; equal by default.
        target: How much is enough.

    Returns:
        The weights, and how much the mean log-likelihood may be below its maximum, in nats.
    """
    n_members = log_p.shape[1]
    likelihood = np.exp(log_p - log_p.max(axis=1, keepdims=True))

    def local(w: FloatArray) -> Local:
        total = likelihood @ w
        with np.errstate(divide="ignore", invalid="ignore"):
            value = w.sum() - float(image_weights @ np.log(total))
            ratio = likelihood / total[:, None]
        gradient = 1.0 - image_weights @ ratio
        return Local(value, gradient, ratio.T @ (image_weights[:, None] * ratio))

    equal = np.full(n_members, 1.0 / n_members)
    # Not from a corner: there the others' likelihoods may count as nothing.
    first = equal if start is None else 0.9 * start + 0.1 * equal
    found = minimize(local, first, np.zeros(n_members), np.ones(n_members), target)
    return found._replace(at=found.at / found.at.sum())

"""How close an estimated prior comes to the true one, where the truth is known (the world)."""

from typing import NamedTuple

import numpy as np

from dualtail.bias.prior.table import PriorTable
from dualtail.errors import UserError


class Recovery(NamedTuple):
    """Estimated against true prior.

    Attributes:
        spearman: Rank correlation of q and q_true.
        log_rmse: Root mean square of log q - log q_true, after removing its mean.
        imbalance_factor: max q / min q.
        true_imbalance_factor: max q_true / min q_true.
    """

    spearman: float
    log_rmse: float
    imbalance_factor: float
    true_imbalance_factor: float


def recovery(prior: PriorTable) -> Recovery:
    """Compare an estimated prior with the truth beside it.

    Raises:
        UserError: the table holds no truth.
    """
    from scipy.stats import spearmanr

    if prior.q_true is None:
        raise UserError("prior table: no column q_true; the truth is known only in a world")
    q, truth = prior.q, prior.q_true
    error = np.log(q) - np.log(truth)
    return Recovery(
        spearman=float(spearmanr(q, truth).statistic),
        log_rmse=float(error.std()),
        imbalance_factor=float(q.max() / q.min()),
        true_imbalance_factor=float(truth.max() / truth.min()),
    )

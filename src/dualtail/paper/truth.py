"""How close an estimated prior comes to the true one, where the truth is known (the world)."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dualtail.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


class Recovery(NamedTuple):
    """Estimated against true prior."""

    spearman: float
    log_rmse: float
    """root mean square of log q - log q_true, after removing its mean"""
    imbalance_factor: float
    """max q / min q"""
    true_imbalance_factor: float


def is_known(prior: "pd.DataFrame | None") -> bool:
    """Whether an estimated prior has the truth beside it."""
    return prior is not None and "q_true" in prior


def recovery(prior: "pd.DataFrame") -> Recovery:
    """Compare the columns `q` and `q_true` of a prior.

    Raises:
        UserError: a column is missing, or a probability is not positive.
    """
    from scipy.stats import rankdata

    for name in ("q", "q_true"):
        if name not in prior:
            raise UserError(f"prior table: no column {name!r}; the truth is known only in a world")
        if not (prior[name] > 0).all():
            raise UserError(f"prior table: {name} must be positive for every class")
    q, truth = prior["q"].to_numpy(float), prior["q_true"].to_numpy(float)
    error = np.log(q) - np.log(truth)
    return Recovery(
        spearman=float(np.corrcoef(rankdata(q), rankdata(truth))[0, 1]),
        log_rmse=float(error.std()),
        imbalance_factor=float(q.max() / q.min()),
        true_imbalance_factor=float(truth.max() / truth.min()),
    )

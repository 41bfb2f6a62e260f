"""The pre-training prior q (Eq. 3): estimators, bootstrap intervals, and its file."""

from collections.abc import Callable

from dualtail.bias.prior.bootstrap import PriorIntervals, bootstrap_prior
from dualtail.bias.prior.cross_fitting import cross_fit_prior
from dualtail.bias.prior.early_stopping import estimate_prior_early_stopped
from dualtail.bias.prior.estimate import PriorEstimate, certify, estimate_prior
from dualtail.bias.prior.table import PriorTable, read_prior_csv, write_prior_csv

PRIOR_ESTIMATORS: dict[str, Callable[..., PriorEstimate]] = {
    "exact": estimate_prior,
    "cross-fitted": cross_fit_prior,
    "early-stopped": estimate_prior_early_stopped,
}
"""Estimators by name: (logits, labels, *, class_names, ...) -> PriorEstimate."""

__all__ = [
    "PRIOR_ESTIMATORS",
    "PriorEstimate",
    "PriorIntervals",
    "PriorTable",
    "bootstrap_prior",
    "certify",
    "cross_fit_prior",
    "estimate_prior",
    "estimate_prior_early_stopped",
    "read_prior_csv",
    "write_prior_csv",
]

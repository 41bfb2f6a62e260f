"""The estimators of the pre-training prior by name."""

from collections.abc import Callable

from dualtail.bias.prior.calibration import estimate_prior_calibrated
from dualtail.bias.prior.cross_fitting import cross_fit_prior
from dualtail.bias.prior.early_stopping import estimate_prior_early_stopped
from dualtail.bias.prior.estimate import PriorEstimate, estimate_prior

PRIOR_ESTIMATORS: dict[str, Callable[..., PriorEstimate]] = {
    "calibrated": estimate_prior_calibrated,
    "exact": estimate_prior,
    "cross-fitted": cross_fit_prior,
    "early-stopped": estimate_prior_early_stopped,
}
"""(logits, labels, *, class_names, ...) -> PriorEstimate."""

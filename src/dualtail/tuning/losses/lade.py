"""LADE: label distribution disentangling."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from dualtail.tuning.loss_options.lade import Options as OwnOptions
from dualtail.tuning.losses.method import Loss, float_tensor, log_prior

EPSILON = 1e-9
"""Added to both priors inside the logarithms of the estimate, as the definition has it."""


class Lade(Loss):
    """CE(f + log pi_S, y) - weight * sum_c pi_c E_c (Hong et al., CVPR 2021).

    E_c is the regularized Donsker-Varadhan bound of class c over the batch of B images:
    E_c = mean of f_c over its images - T_c - lambda T_c^2, with
    T_c = log mean_i exp(f_ic - log pi_c + log 1/C). A class without images in the batch has no
    first term.
    """

    Options = OwnOptions
    log_prior: torch.Tensor
    prior: torch.Tensor
    log_ratio: torch.Tensor

    def __init__(self, train_counts: np.ndarray, options: OwnOptions) -> None:
        super().__init__(train_counts, options)
        prior = train_counts / train_counts.sum()
        log_ratio = np.log(1 / len(prior) + EPSILON) - np.log(prior + EPSILON)
        self.register_buffer("log_prior", float_tensor(log_prior(train_counts)))
        self.register_buffer("prior", float_tensor(prior))
        self.register_buffer("log_ratio", float_tensor(log_ratio))
        self.ridge, self.weight = options.ridge, options.weight

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        adjusted = F.cross_entropy(logits + self.log_prior, labels)
        own = F.one_hot(labels, logits.shape[1]).to(logits.dtype)
        of_class = (own * logits).sum(dim=0) / own.sum(dim=0).clamp(min=1)
        overall = torch.logsumexp(logits + self.log_ratio, dim=0) - math.log(len(logits))
        bound = of_class - overall - self.ridge * overall**2
        return adjusted - self.weight * (self.prior * bound).sum()


METHOD = Lade

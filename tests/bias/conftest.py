"""Gaussian zero-shot logits whose prior is known."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest


@dataclass(frozen=True)
class GaussianLogits:
    """Logits (N, C), labels (N,) and the log prior (C,) the logits carry."""

    logits: np.ndarray
    labels: np.ndarray
    log_q: np.ndarray


@pytest.fixture(scope="session")
def make_gaussian() -> Callable[..., GaussianLogits]:
    """Build logits for which softmax(f - log q) is the exact posterior of balanced classes."""

    def make(
        n_classes: int = 12,
        per_class: int = 15,
        sigma: float = 2.0,
        imbalance: float = 55.0,
        scale: float = 1.0,
        seed: int = 0,
    ) -> GaussianLogits:
        rng = np.random.default_rng(seed)
        log_q = rng.permutation(np.linspace(0.0, -np.log(imbalance), n_classes))
        log_q -= np.log(np.exp(log_q).sum())
        labels = np.repeat(np.arange(n_classes), per_class)
        logits = sigma * rng.standard_normal((labels.size, n_classes)) + log_q
        logits[np.arange(labels.size), labels] += sigma**2
        return GaussianLogits(scale * logits, labels, log_q)

    return make

"""Training losses, by name: each is built from the training counts and maps logits to a scalar."""

import difflib
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from dualtail.errors import UserError


class CrossEntropy(nn.Module):
    """CE(f, y), the mean over the batch; blind to the training counts."""

    def __init__(self, train_counts: np.ndarray, class_names: Sequence[str]) -> None:
        super().__init__()

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Map (B, C) logits and (B,) labels to a scalar."""
        return F.cross_entropy(logits, labels)


class LogitAdjusted(nn.Module):
    """CE(f + log pi_S, y), the mean over the batch (Eq. 2), pi_S = train_counts / N."""

    log_prior: torch.Tensor

    def __init__(self, train_counts: np.ndarray, class_names: Sequence[str]) -> None:
        super().__init__()
        empty = [class_names[c] for c in np.flatnonzero(train_counts <= 0).tolist()]
        if empty:
            listed = ", ".join(empty[:5]) + (" ..." if len(empty) > 5 else "")
            raise UserError(
                f"loss 'la': {len(empty)} classes without a training image ({listed}) have no "
                "log prior: remove them from the class list, add images, or use loss 'ce'"
            )
        log_prior = np.log(train_counts / train_counts.sum(dtype=np.float64))
        self.register_buffer("log_prior", torch.from_numpy(log_prior.astype(np.float32)))

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Map (B, C) logits and (B,) labels to a scalar."""
        return F.cross_entropy(logits + self.log_prior, labels)


REGISTRY: dict[str, type[CrossEntropy] | type[LogitAdjusted]] = {
    "ce": CrossEntropy,
    "la": LogitAdjusted,
}
"""The names of `dualtail.tuning.settings.LOSSES`."""


def make_loss(
    name: str, train_counts: np.ndarray, class_names: Sequence[str] | None = None
) -> nn.Module:
    """Build a loss.

    Args:
        name: A key of `REGISTRY`.
        train_counts: (C,) images of each class in the training split.
        class_names: (C,) names for messages; by default the class numbers.

    Raises:
        UserError: unknown name, counts that are no counts, or (la) a class without images.
    """
    if name not in REGISTRY:
        close = difflib.get_close_matches(name, REGISTRY, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise UserError(f"loss {name!r} is unknown: {hint}known are {', '.join(REGISTRY)}")
    counts = np.asarray(train_counts)
    names = [str(c) for c in range(counts.size)] if class_names is None else class_names
    if counts.ndim != 1 or counts.size == 0 or len(names) != counts.size:
        raise UserError(f"loss {name!r}: train_counts {counts.shape} for {len(names)} classes")
    if not np.all(np.isfinite(counts)) or np.any(counts < 0) or counts.sum() == 0:
        raise UserError(f"loss {name!r}: train_counts must be >= 0, with at least one image")
    return REGISTRY[name](counts, names)

"""What may be set for each loss of `tuning/losses/`: one module per loss, free of torch.

Defaults are those of LIFT.
"""

import functools

from dualtail.registry import ListedOptions

LOSS_OPTIONS = ListedOptions(__name__)


@functools.cache  # asked for every job of a plan
def reads_prior(loss: str) -> bool:
    """Whether one of our losses reads the model's pre-training prior q."""
    return loss in LOSS_OPTIONS and bool(getattr(LOSS_OPTIONS[loss], "needs_prior", False))


@functools.cache
def reads_teacher(loss: str) -> bool:
    """Whether one of our losses reads the logits of teachers."""
    return loss in LOSS_OPTIONS and bool(getattr(LOSS_OPTIONS[loss], "needs_teacher", False))

"""What may be set for each loss of `tuning/losses/`: one module a loss, free of torch.

Defaults are those of LIFT.
"""

from dualtail.registry import ListedOptions

LOSS_OPTIONS = ListedOptions(__name__)


def reads_prior(loss: str) -> bool:
    """Whether one of our losses reads the model's pre-training prior q."""
    return loss in LOSS_OPTIONS and bool(getattr(LOSS_OPTIONS[loss], "needs_prior", False))

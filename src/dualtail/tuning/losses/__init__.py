"""Registry of training losses (see `dualtail.registry`)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dualtail.config.section import Section
from dualtail.errors import UserError
from dualtail.registry import Registry
from dualtail.tuning.loss_options import LOSS_OPTIONS

if TYPE_CHECKING:
    import numpy as np

    from dualtail.tuning.losses.method import Loss

LOSSES = Registry("loss", __name__, "Loss", LOSS_OPTIONS)


def make_loss(
    name: str,
    train_counts: "np.ndarray",
    class_names: Sequence[str] | None = None,
    options: Mapping[str, Any] | Section | None = None,
    q: "np.ndarray | None" = None,
) -> "Loss":
    """Build a loss.

    Args:
        name: A key of `LOSS_OPTIONS`, or `path/to/file.py:Class` of a `Loss`.
        train_counts: (C,) images of each class in the training split.
        class_names: (C,) names for messages; by default the class numbers.
        options: Options of the loss; missing ones take their defaults.
        q: (C,) estimated pre-training prior; for losses that need it.

    Raises:
        UserError: unknown name or option, counts that are no counts, a class without images where
            the loss needs one, or no fitting q where it needs that.
    """
    import numpy as np

    if not isinstance(options, Section):
        options = LOSSES.parse(name, options or {})
    counts = np.asarray(train_counts)
    names = [str(c) for c in range(counts.size)] if class_names is None else class_names
    if counts.ndim != 1 or counts.size == 0 or len(names) != counts.size:
        raise UserError(f"loss {name!r}: train_counts {counts.shape} for {len(names)} classes")
    if not np.all(np.isfinite(counts)) or np.any(counts < 0) or counts.sum() == 0:
        raise UserError(f"loss {name!r}: train_counts must be >= 0, with at least one image")
    found = LOSSES.find(name)
    if found.needs_every_class:
        empty = [names[c] for c in np.flatnonzero(counts <= 0).tolist()]
        if empty:
            listed = ", ".join(empty[:5]) + (" ..." if len(empty) > 5 else "")
            raise UserError(
                f"loss {name!r}: {len(empty)} classes without a training image ({listed}) have no "
                "prior: remove them from the class list, add images, or use loss 'ce'"
            )
    if not found.needs_prior:
        return found(counts.astype(np.float64), options)
    if q is None:
        raise UserError(
            f"loss {name!r} reads the pre-training prior q: give --prior, which `dualtail prior` writes"
        )
    if q.shape != counts.shape or not np.all((q > 0) & np.isfinite(q)):
        raise UserError(f"loss {name!r}: q must be {counts.size} positive numbers, one per class")
    return found(counts.astype(np.float64), options, q.astype(np.float64))

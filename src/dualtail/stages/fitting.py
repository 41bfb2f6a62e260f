"""What a fit on labeled images takes and says, for the stages fuse and adjust."""

from collections.abc import Sequence
from pathlib import Path

from dualtail.bias.combined_outputs import Fitted
from dualtail.errors import UserError
from dualtail.outputs import splits_of

FITTED_ON = ("val", "test")
"""The first of these that all dumps have."""


def fitting_split(dumps: Sequence[Path]) -> str:
    """Return the split to fit on: val, else test, else the only one that all dumps have.

    Raises:
        UserError: there is none.
    """
    first, *others = [splits_of(dump) for dump in dumps]
    shared = [split for split in first if all(split in other for other in others)]
    for split in (*FITTED_ON, *(shared if len(shared) == 1 else [])):
        if split in shared:
            return split
    raise UserError(
        f"{dumps[0]}: nothing to fit on: neither val nor test is in all dumps; "
        f"they share: {', '.join(shared) or 'nothing'}"
    )


def said(fitted: Fitted, names: Sequence[str]) -> list[str]:
    """Return lines for the user: what was fitted, on what, how exactly."""
    record = fitted.record
    missing = "" if record.split == FITTED_ON[0] else f", no {FITTED_ON[0]}"
    n_folds = len(record.folds)
    lines = [
        f"fitted on {record.split} ({record.n_images:,} images{missing}), whose images are combined by what "
        f"the other {n_folds - 1} of {n_folds} folds say; within {record.gap:.0e} nats of the optimum"
    ]
    scales = ("scale (1 / temperature)", ".3g", record.whole.scales, record.scale_intervals)
    weights = ("P(c)", ".3f", record.whole.weights, record.weight_intervals)
    for what, form, values, intervals in (scales, weights):
        shown = [
            f"{name} {value:{form}}" + (f" [{low:{form}}, {high:{form}}]" if low < high else "")
            for name, value, (low, high) in zip(names, values, intervals, strict=False)
        ]
        lines += [f"{what}: {', '.join(shown)}"] if shown else []
    return lines + _bounds(fitted, names)


MEANING = {
    1: "upper bound of its search: no image is predicted wrongly there, so the data cannot say how confident "
    "it should be, and its probabilities are nearly 0 or 1",
    -1: "lower bound of its search: its logits do not help to tell the labels, and it hardly counts",
}
"""What it means that a fitted scale lies at a bound."""


def _bounds(fitted: Fitted, names: Sequence[str]) -> list[str]:
    """A line for each member whose scale lies at a bound, on all images or in folds."""
    lines, folds = [], fitted.fit.folds
    for m, name in enumerate(names):
        for bound, meaning in MEANING.items():
            n_folds = sum(fold.at_bound[m] == bound for fold in folds)
            is_whole = fitted.fit.whole.at_bound[m] == bound
            if is_whole or n_folds:
                where = f"on {fitted.split}" if is_whole else f"in {n_folds} of {len(folds)} folds"
                lines.append(f"{name}: the scale fitted {where} lies at the {meaning}")
    return lines

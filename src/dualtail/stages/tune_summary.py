"""What `tune` says at its end: how good the model is, overall and by training images, and where it is."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dualtail.bias.groups import d_groups
from dualtail.datasets.whole_pack import read_training_pack
from dualtail.outputs import DEFAULT_SPLIT, Outputs
from dualtail.scores.bootstrap import Estimate
from dualtail.scores.class_means import ClassMeans
from dualtail.scores.settings import ScoreSettings


def summary(
    found: Sequence[Outputs], train_pack: Path, adapter: Path, outputs: Path | None
) -> list[str]:
    """Return lines for the user.

    Args:
        found: Outputs of the predicted splits; test is shown, or else the last.
        train_pack: Packed training split, for images per class.
        adapter, outputs: What was written.
    """
    shown = [one for one in found if one.header.split == DEFAULT_SPLIT] or found[-1:]
    counts = read_training_pack(train_pack).counts()
    lines = [line for one in shown for line in accuracy_lines(one, counts)]
    files = [f"adapter: {adapter}"]
    return lines + files + ([] if outputs is None or not found else [f"outputs: {outputs}"])


def accuracy_lines(outputs: Outputs, counts: np.ndarray) -> list[str]:
    """How good a model is on a split, in words: overall, and by training images per class (C,)."""
    settings = ScoreSettings()
    means = ClassMeans(np.asarray(outputs.labels), outputs.n_classes, settings.bootstrap, seed=0)
    right = outputs.predicted == outputs.labels
    lines = [
        f"{outputs.header.split} accuracy, the mean over classes: {_in_percent(means.mean(right))}; "
        f"{int(right.sum()):,} of {outputs.n_images:,} images are right"
    ]
    bounds = (
        f"more than {settings.many}",
        f"{settings.few} to {settings.many}",
        f"fewer than {settings.few}",
    )
    groups = d_groups(counts, settings.many, settings.few)
    for (name, classes), bound in zip(groups.items(), bounds, strict=True):
        estimate = means.mean(right, np.isin(np.arange(outputs.n_classes), classes))
        if np.isfinite(estimate.value):
            word = name.removeprefix("D-").lower()
            of = f"{word} ({len(classes)} classes with {bound} training images)"
            lines.append(f"  {of}: {_in_percent(estimate)}")
    return lines


def _in_percent(estimate: Estimate) -> str:
    value, low, high = (100 * number for number in estimate)
    if np.isnan(low):
        return f"{value:.1f} % (too few images for an interval)"
    return f"{value:.1f} % (95 % interval {low:.1f} to {high:.1f})"

"""Is it more than ensembling? Several corpora against several seeds of one, with and without bias.

Three kinds of sets of models are fused, each model tuned alike: those of several corpora that show
different parts (the run's members), those of ONE corpus that differ in the seed of their pre-training
alone, and those of several corpora that show either part equally often, with the same priors.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dualtail.errors import UserError
from dualtail.outputs import Outputs, check_same_split
from dualtail.paper.layout import Table, grid
from dualtail.scores.bootstrap import Estimate
from dualtail.scores.class_means import class_means

MODES = ("logits", "probabilities")
COLUMNS = [("", "single models"), *(("Fused", mode) for mode in MODES), ("", "gain by logits")]
SET, DIFFERENCE = "set", "difference"


class FusedSet(NamedTuple):
    """Some models and their fusions on one test split."""

    name: str
    singles: Sequence[Outputs]
    fused: tuple[Outputs, Outputs]
    """by logits, by probabilities"""


def correct(found: FusedSet) -> NDArray[np.float64]:
    """Return (4, N) a number per image, the columns of the table: share of the single models that are
    right, whether each fusion is right, and the gain of the first over the former; in percent.

    Raises:
        UserError: dumps of different images.
    """
    check_same_split([*found.singles, *found.fused])
    labels = np.asarray(found.singles[0].labels)
    singles, fused = (
        [100.0 * (dump.predicted == labels) for dump in dumps]
        for dumps in (found.singles, found.fused)
    )
    single = np.mean(singles, axis=0)
    return np.stack([single, *fused, fused[0] - single])


def control_rows(
    sets: Sequence[FusedSet], replicates: int, seed: int
) -> dict[tuple[str, str], list[Estimate]]:
    """Return the numbers of every set of one dataset, and of the first set less each of the others.

    All are means over classes; intervals are of a class-stratified bootstrap over test images, paired.

    Raises:
        UserError: sets of different images, or no set.
    """
    if not sets:
        raise UserError("controls: no set of models")
    check_same_split([found.singles[0] for found in sets])
    labels = np.asarray(sets[0].singles[0].labels)
    values = [correct(found) for found in sets]
    rows = {(SET, found.name): value for found, value in zip(sets, values, strict=True)}
    for found, value in zip(sets[1:], values[1:], strict=True):
        rows[DIFFERENCE, f"{sets[0].name} less {found.name}"] = values[0] - value
    means = class_means(np.concatenate(list(rows.values())), labels, replicates, seed)
    n = len(COLUMNS)
    return {name: means[n * k : n * (k + 1)] for k, name in enumerate(rows)}


def controls_table(rows: dict[tuple[str, str, str], list[Estimate]], tuning: str) -> Table:
    """Lay out (dataset, SET or DIFFERENCE, name) -> numbers; `tuning` says how all are tuned."""
    return Table(
        name="controls",
        title="Several corpora against several seeds of one, with and without visibility bias",
        caption=(
            f"Accuracy (%, mean over classes) of models tuned with {tuning}: mean over the single "
            "models of a set, all of them fused, and what fusing by logits gains over that mean. "
            "Seeds are those of pre-training; tuning has the same seed everywhere. Without bias: the "
            "corpora have the same priors, labels and images otherwise, but show either part equally "
            "often."
        ),
        cells=grid(
            rows=list(rows.items()),
            columns=[(labels, k) for k, labels in enumerate(COLUMNS)],
            row_names=["Dataset", "", "Models"],
            cell=lambda row, k: row[k],
        ),
        notes=(
            "Differences are paired over test images. The intervals hold the spread of test images, "
            "not that of trainings.",
            "Gains are what is comparable between sets whose single models differ.",
        ),
    )

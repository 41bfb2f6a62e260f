"""One model that learned from several: how much of the gain of fusing does it keep, at one model's cost?"""

from collections.abc import Mapping, Sequence

import numpy as np

from dualtail.outputs import Outputs, check_same_split
from dualtail.paper.layout import Table, grid
from dualtail.scores.bootstrap import Estimate
from dualtail.scores.class_means import class_means
from dualtail.studies.student_sets import ROLES

ACCURACY = "accuracy"


def student_rows(
    found: Mapping[str, Outputs], replicates: int, seed: int
) -> dict[str, dict[str, Estimate]]:
    """Return role -> ACCURACY and what it is over each other role, in percent.

    All are means over classes; intervals are of a class-stratified bootstrap over test images, paired.

    Args:
        found: Role -> its outputs on one test split.

    Raises:
        UserError: dumps of different images.
    """
    check_same_split(list(found.values()))
    labels = np.asarray(next(iter(found.values())).labels)
    right = {role: 100.0 * (one.predicted == labels) for role, one in found.items()}
    rows = {
        role: {ACCURACY: own}
        | {f"over the {one}": own - right[one] for one in found if one != role}
        for role, own in right.items()
    }
    values = np.stack([value for row in rows.values() for value in row.values()])
    means = iter(class_means(values, labels, replicates, seed))
    return {role: {column: next(means) for column in row} for role, row in rows.items()}


def student_table(
    rows: Sequence[tuple[tuple[str, str, str], Mapping[str, Estimate]]],
) -> Table:
    """Lay out (dataset, model, predictor) and its numbers."""
    columns = [("", ACCURACY), *(("Difference", f"over the {role}") for role in ROLES)]
    return Table(
        name="student",
        title="One model that learned from several",
        caption=(
            "Accuracy (%, mean over classes) of a student that goes on from a tuned model and learns from "
            "the mean logits of its teachers on the training images; of the control, which trains as long "
            "without them; and of the teachers fused by logits, which cost as many forward passes as there "
            "are teachers. Differences in percentage points."
        ),
        cells=grid(
            rows=list(rows),
            columns=[(labels, labels[1]) for labels in columns],
            row_names=["Dataset", "Model", "Predictor"],
            cell=lambda row, column: row.get(column, float("nan")),
        ),
        notes=("Differences are paired: all on the same resampled images.",),
    )

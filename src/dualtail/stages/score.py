"""Stage score: dumps on one split to the tidy score table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dualtail.bias.groups import Groups, d_groups, p_groups
from dualtail.bias.prior.table import read_prior_csv
from dualtail.datasets.train_counts import read_counts_csv
from dualtail.outputs import Outputs, read_outputs, splits_of
from dualtail.scores.schema import PER_CLASS, SCORES, write_frame
from dualtail.scores.settings import ScoreSettings
from dualtail.scores.table import score_outputs
from dualtail.study_table import file_of, read_study

VALIDATION = "val"
"""The split that temperatures are fitted on, where a dump has it."""


def dumps_of_study(study: Path, dataset: str, pattern: str) -> list[Path]:
    """Return the dumps of a dataset's predictions.

    Args:
        study: Written by `dualtail study`.
        dataset: Its name there.
        pattern: Path of a dump, with {dataset}, {members} and {variant}.

    Raises:
        UserError: an unreadable study, nothing of this dataset, or a dump that is not there.
    """
    return [file_of(row, pattern, study) for row in read_study(study, dataset)]


def run(
    dumps: Sequence[Path],
    split: str | None,
    train_counts: Path | None,
    group_counts: Path | None,
    prior: Path | None,
    settings: ScoreSettings,
    run_name: str,
    seed: int,
    class_scores: Path | None,
    out: Path,
) -> str:
    """Score, write the tables, and return the overall accuracies as lines for the user.

    Args:
        dumps: One a predictor.
        split: What is scored; None: the only split, else test.
        train_counts: CSV of training images per class.
        group_counts: CSV of counts that make the D-groups; None: `train_counts`.
        prior: CSV of q, makes the P-groups.
        settings: Groups and intervals; who gives q is decided by `prior`.
        run_name: For the column `run`.
        seed: Of the bootstrap.
        class_scores: File for the accuracies of classes, or None.
        out: The score table.

    Raises:
        UserError: dumps that do not belong together, counts or a prior of other classes.
    """
    outputs = [read_outputs(path, split) for path in dumps]
    names = outputs[0].header.class_names
    counts = None if train_counts is None else read_counts_csv(train_counts, names)
    grouping = counts if group_counts is None else read_counts_csv(group_counts, names)
    q = None if prior is None else read_prior_csv(prior, names).q
    d = None if grouping is None else d_groups(grouping, settings.many, settings.few)
    p = None if q is None else p_groups(q, settings.p_groups)
    scores = score_outputs(
        outputs,
        [_validation(path, dump) for path, dump in zip(dumps, outputs, strict=True)],
        run=run_name,
        train_counts=counts,
        d_groups=None if d is None else _labels(d, len(names)),
        p_groups=None if p is None else _labels(p, len(names)),
        q=q,
        replicates=settings.bootstrap,
        seed=seed,
    )
    write_frame(out, scores.table, SCORES)
    if class_scores is not None:
        write_frame(class_scores, scores.per_class, PER_CLASS)
    table = scores.table
    overall = table[(table["metric"] == "accuracy") & (table["scheme"] == "all")]
    return "\n".join(
        f"{row.value:6.2f} % {_ends(row)}  {_who(row)}" for row in overall.itertuples()
    )


def _validation(path: Path, dump: Outputs) -> Outputs | None:
    """The same predictor on the validation split, if its dump has that and it is not what is scored."""
    if dump.header.split == VALIDATION or VALIDATION not in splits_of(path):
        return None
    return read_outputs(path, VALIDATION)


def _labels(groups: Groups, n_classes: int) -> np.ndarray:
    """(C,) name of the group of every class."""
    labels = np.empty(n_classes, dtype=object)
    for name, classes in groups.items():
        labels[classes] = name
    return labels.astype(str)


def _ends(row: Any) -> str:
    if row.ci_low != row.ci_low:
        return "(too few images for an interval)"
    return f"[{row.ci_low:.2f}, {row.ci_high:.2f}]"


def _who(row: object) -> str:
    parts = [
        getattr(row, key) for key in ("members", "kind", "peft", "loss", "adjustment", "fusion")
    ]
    return " ".join(str(part) for part in parts if part)

"""Stage score: dumps of one split to the tidy score table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dualtail.bias.groups import Groups, d_groups, p_groups
from dualtail.bias.prior.table import read_prior_csv
from dualtail.datasets.train_counts import read_counts_csv
from dualtail.outputs import read_outputs
from dualtail.scores.schema import PER_CLASS, SCORES, write_frame
from dualtail.scores.table import score_outputs


@dataclass(frozen=True)
class ScoreOptions:
    """Groups, intervals and the name of the run."""

    run: str
    p_groups: str
    many: int
    few: int
    bootstrap: int
    seed: int


def run(
    dumps: Sequence[Path],
    validation: Sequence[Path],
    train_counts: Path | None,
    group_counts: Path | None,
    prior: Path | None,
    options: ScoreOptions,
    out: Path,
    class_scores: Path | None,
) -> str:
    """Score, write the tables, and return the overall accuracies as lines for the user.

    D-groups go by `group_counts`, or by `train_counts` if there are none.

    Raises:
        UserError: dumps that do not belong together, counts or a prior of other classes.
    """
    outputs = [read_outputs(path) for path in dumps]
    names = outputs[0].header.class_names
    counts = None if train_counts is None else read_counts_csv(train_counts, names)
    grouping = counts if group_counts is None else read_counts_csv(group_counts, names)
    q = None if prior is None else read_prior_csv(prior, names).q
    scores = score_outputs(
        outputs,
        [read_outputs(path) for path in validation],
        run=options.run,
        train_counts=counts,
        d_groups=None
        if grouping is None
        else _labels(d_groups(grouping, options.many, options.few), len(names)),
        p_groups=None if q is None else _labels(p_groups(q, options.p_groups), len(names)),
        q=q,
        replicates=options.bootstrap,
        seed=options.seed,
    )
    write_frame(out, scores.table, SCORES)
    if class_scores is not None:
        write_frame(class_scores, scores.per_class, PER_CLASS)
    table = scores.table
    overall = table[(table["metric"] == "accuracy") & (table["scheme"] == "all")]
    return "\n".join(
        f"{row.value:6.2f} % [{row.ci_low:.2f}, {row.ci_high:.2f}]  {_who(row)}"
        for row in overall.itertuples()
    )


def _labels(groups: Groups, n_classes: int) -> np.ndarray:
    """(C,) name of the group of every class."""
    labels = np.empty(n_classes, dtype=object)
    for name, classes in groups.items():
        labels[classes] = name
    return labels.astype(str)


def _who(row: object) -> str:
    parts = [
        getattr(row, key) for key in ("members", "kind", "peft", "loss", "adjustment", "fusion")
    ]
    return " ".join(str(part) for part in parts if part)

"""Stage score: dumps on one split to the tidy score table."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dualtail.bias.groups import D_GROUPS, P_GROUPS, d_groups, group_labels, p_groups
from dualtail.bias.prior.table import read_prior_csv
from dualtail.datasets.train_counts import read_counts_csv
from dualtail.outputs import Outputs, read_outputs, splits_of
from dualtail.scores.schema import PER_CLASS, SCORES, write_frame
from dualtail.scores.settings import ScoreSettings
from dualtail.scores.table import score_outputs
from dualtail.study_table import file_of, read_study

if TYPE_CHECKING:
    import pandas as pd

VALIDATION = "val"
"""The split that temperatures are fitted on, where a dump has it."""


def dumps_of_study(study: Path, dataset: str, pattern: str) -> list[Path]:
    """Return the dumps of a dataset's predictions.

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
    """Score, write the tables, and return the overall accuracies as lines for the user."""
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
        d_groups=None if d is None else group_labels(d, len(names)),
        p_groups=None if p is None else group_labels(p, len(names)),
        q=q,
        replicates=settings.bootstrap,
        seed=seed,
    )
    write_frame(out, scores.table, SCORES)
    if class_scores is not None:
        write_frame(class_scores, scores.per_class, PER_CLASS)
    return said(scores.table)


def said(table: "pd.DataFrame") -> str:
    """Return the accuracies of a score table for a person: overall and by group, then paired gains."""
    found = table[table["metric"] == "accuracy"]
    lines = ["accuracy, mean over classes, %"]
    for row in found[found["scheme"] == "all"].itertuples():
        lines.append(f"{row.value:6.2f} {_ends(row)}  {_who(row)}")
    for who, rows in found.groupby(found.apply(_who, axis=1), sort=False):
        known = rows.dropna(subset="value")
        lines += _groups(str(who), dict(zip(known["group"], known["value"], strict=True)))
    gains = table[(table["metric"] == "accuracy_gain") & (table["scheme"] == "all")]
    if len(gains):
        lines += ["", "paired gain, left less right, points"]
        lines += [f"{row.value:+6.2f} {_ends(row)}  {_who(row)}" for row in gains.itertuples()]
    overall: list[Any] = list(found[found["scheme"] == "all"].itertuples())
    best = max(overall, key=lambda row: row.value)
    count = f"{len(overall)} predictor{'s' if len(overall) > 1 else ''}"
    lines += ["", f"{count}; largest accuracy {best.value:.2f} %: {_who(best)}"]
    return "\n".join(lines)


def _groups(who: str, values: Mapping[str, float]) -> list[str]:
    """D-groups down, P-groups across, as far as there are groups: the nine of Figure 2 with both."""
    rows = [d for d in D_GROUPS if d in values]
    columns = [p for p in P_GROUPS if p in values]
    if not rows and not columns:
        return []
    lines = ["", who, "          " + "".join(f"{name:>10}" for name in ["all", *columns])]
    for d in ["Overall", *rows]:
        cells = [d, *(p if d == "Overall" else f"{d}/{p}" for p in columns)]
        shown = (f"{values[cell]:.1f}" if cell in values else "-" for cell in cells)
        lines.append(f"{'all' if d == 'Overall' else d:<10}" + "".join(f"{x:>10}" for x in shown))
    return lines


def _validation(path: Path, dump: Outputs) -> Outputs | None:
    """The same predictor on the validation split, if its dump has that and it is not what is scored."""
    if dump.header.split == VALIDATION or VALIDATION not in splits_of(path):
        return None
    return read_outputs(path, VALIDATION)


def _ends(row: Any) -> str:
    if row.ci_low != row.ci_low:
        return "(too few images for an interval)"
    return f"[{row.ci_low:.2f}, {row.ci_high:.2f}]"


def _who(row: object) -> str:
    parts = [
        getattr(row, key) for key in ("members", "kind", "peft", "loss", "adjustment", "fusion")
    ]
    return " ".join(str(part) for part in parts if part)

"""Stage prior: the pre-training prior q from a dump of zero-shot outputs."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dualtail.bias.prior.bootstrap import RESAMPLED, PriorIntervals, bootstrap_prior
from dualtail.bias.prior.estimate import PriorEstimate
from dualtail.bias.prior.estimators import PRIOR_ESTIMATORS
from dualtail.bias.prior.precision import MOST_ABSENT, WIDEST, interval_ratio
from dualtail.bias.prior.table import write_prior_csv
from dualtail.datasets.class_names import read_class_names
from dualtail.datasets.image_list import read_image_list
from dualtail.errors import UserError
from dualtail.files import STDOUT, write_text
from dualtail.outputs import Outputs, OutputsHeader, read_outputs
from dualtail.sidecars import sidecar

ESTIMATORS_IN_WORDS = {
    "calibrated": "Eq. 3 with a temperature",
    "exact": "Eq. 3",
    "cross-fitted": "Eq. 3, cross-fitted",
    "early-stopped": "Eq. 3 by an early-stopped descent",
}

SHOWN = 10
"""Classes at either end of the prior that are printed."""

SPLIT = "val"
"""The split that q is estimated on, if a dump has several and none is named."""


def run(
    dump: Path,
    split: str | None,
    estimator: str,
    ridge: float | Literal["auto"],
    bootstrap: int,
    seed: int,
    truth: tuple[Path, Path] | None,
    out: Path,
) -> str:
    """Estimate q, write it as CSV with a JSON record beside it, and return what to tell the user."""
    outputs = read_outputs(dump, split, default=SPLIT)
    beside = None if out == STDOUT else sidecar(out, ".json", '"estimator"')
    names = outputs.header.class_names
    q_true = None if truth is None else true_prior(*truth, names)
    data = (outputs.logits, outputs.labels)
    intervals: PriorIntervals | None = None
    if estimator in RESAMPLED:
        estimate = PRIOR_ESTIMATORS[estimator](*data, ridge, class_names=names, seed=seed)
        intervals = bootstrap_prior(*data, estimate, replicates=bootstrap, seed=seed)
    else:
        estimate = PRIOR_ESTIMATORS[estimator](*data, class_names=names)
    if beside is not None:
        record = _record(outputs.header, estimate)
        write_text(beside, json.dumps(record, indent=1) + "\n")
    bounds = (intervals.ci_low, intervals.ci_high) if intervals else (None, None)
    write_prior_csv(out, names, estimate.q, *bounds, q_true)
    return "\n".join(_said(outputs, estimate, intervals, q_true))


def _record(header: OutputsHeader, estimate: PriorEstimate) -> dict[str, Any]:
    """The record of an estimate: everything besides q."""
    return {
        "dataset": header.dataset,
        "members": header.members_key,
        "split": header.split,
        "estimator": estimate.estimator,
        "scale": estimate.scale,
        "ridge": estimate.ridge,
        "imbalance_factor": estimate.imbalance_factor,
        "residual": estimate.residual,
        "gradient": estimate.gradient,
        "objective": estimate.objective,
        "iterations": estimate.iterations,
        "absent": estimate.absent,
        "never_predicted": estimate.never_predicted,
        "notes": estimate.notes,
    }


def _said(
    outputs: Outputs,
    estimate: PriorEstimate,
    intervals: PriorIntervals | None,
    q_true: np.ndarray | None,
) -> list[str]:
    """Lines for the user: how far the estimate can be trusted, then the imbalance factor."""
    header = outputs.header
    lines = [
        f"{header.title}: {outputs.n_images:,} images, {outputs.n_classes:,} classes",
        *_precision(estimate, intervals),
        f"ridge {estimate.ridge:.4g}, {estimate.iterations} iterations, "
        f"largest |mean p - frequency| {estimate.residual:.1e}, gradient {estimate.gradient:.1e}",
    ]
    lines += _extremes(estimate.q, header.class_names, estimate.absent)
    if header.kind not in ("zero-shot", "imported"):
        lines.append(
            f"note: these are {header.kind} outputs; q describes a pre-training only if it "
            "is estimated from zero-shot outputs"
        )
    if q_true is not None:
        rmse = float(np.std(np.log(estimate.q) - np.log(q_true)))
        lines.append(f"true prior known: RMSE of log q {rmse:.2f} (up to a constant)")
    lines += [f"note: {note}" for note in estimate.notes]
    # The number stands last: the console of a run shows the last line of every job.
    return [
        *lines,
        f"max q / min q: {estimate.imbalance_factor:.1f} ({ESTIMATORS_IN_WORDS[estimate.estimator]})",
    ]


def _extremes(q: np.ndarray, names: list[str], absent: Sequence[int]) -> list[str]:
    """The classes that pre-training has seen least and most, as multiples of an even share."""
    order = [c for c in np.argsort(q, kind="stable") if c not in set(absent)]
    shown = min(SHOWN, len(order) // 2)
    parts = (("least", order[:shown]), ("most", order[::-1][:shown]))
    return [
        f"{which} favored, times an even share: "
        + ", ".join(f"{names[c]} {q[c] * len(q):.2g}" for c in classes)
        for which, classes in parts
        if classes
    ]


def _precision(estimate: PriorEstimate, intervals: PriorIntervals | None) -> list[str]:
    """How precisely q is known, and the remedy where it is hardly known."""
    if intervals is None:
        return []
    known, ratio = interval_ratio(intervals.ci_low, intervals.ci_high)
    lines = [
        f"95 % intervals of q (test sampling): the ends are a factor {ratio:,.3g} apart, median over classes"
    ]
    absent = int((~known).sum())
    if absent > MOST_ABSENT * known.size or ratio > WIDEST:
        lines.append(
            f"warning: q is hardly known ({absent} of {known.size} classes without an image): P-groups "
            "and adjustments by it mean little; take another --split, or more images per class"
        )
    return lines


def true_prior(image_list: Path, class_names: Path, names: list[str]) -> np.ndarray:
    """(C,) prior of a corpus over the classes `names`, matched by name.

    Raises:
        UserError: a class has no image in the corpus.
    """
    corpus_names = read_class_names(class_names)
    counts = read_image_list(image_list, len(corpus_names)).counts(len(corpus_names))
    by_name = Counter[str]()  # a name may come twice
    for name, count in zip(corpus_names, counts.tolist(), strict=True):
        by_name[name] += count
    missing = [name for name in names if not by_name.get(name)]
    if missing:
        raise UserError(
            f"{image_list}: no image of class {missing[0]!r} ({len(missing)} such classes)"
        )
    values = np.array([by_name[name] for name in names], dtype=float)
    return values / values.sum()

"""Score dumps: one function for zero-shot, tuned, adjusted, fused and imported outputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dualtail.errors import UserError
from dualtail.outputs import Outputs, OutputsHeader, check_same_split
from dualtail.scores import metrics
from dualtail.scores.bootstrap import centered_interval, indicator, interval, weight_blocks
from dualtail.scores.comparisons import JOINED, Comparison, comparisons, joined
from dualtail.scores.schema import (
    PER_CLASS,
    PERCENT,
    POINTS,
    SCHEME_GROUPS,
    SCORES,
    SPREAD_GROUPS,
    UNITS,
    as_frame,
)

if TYPE_CHECKING:
    import pandas as pd

Labels = np.ndarray | Sequence[str]
"""Name of the group of every class, (C,)."""
OVERALL_METRICS = (
    "macro_f1",
    "worst_class_accuracy",
    "harmonic_mean",
    "geometric_mean",
    "ece",
    "ece_calibrated",
)


@dataclass(frozen=True)
class Scores:
    """What is known about the dumps of one split."""

    table: "pd.DataFrame"
    """the tidy table, columns as in `schema.COLUMNS`"""
    per_class: "pd.DataFrame"
    """a row a dump and class, columns as in `schema.PER_CLASS_COLUMNS`"""


@dataclass(frozen=True)
class Grouping:
    """All groups of the classes of one dataset, those of several schemes side by side."""

    names: list[tuple[str, str]]
    """(scheme, group), G of them; the first is all classes"""
    members: np.ndarray
    """(C, G) bool"""

    def index(self, name: str) -> int:
        """Return the column of a group."""
        return next(i for i, (_, group) in enumerate(self.names) if group == name)


@dataclass(frozen=True)
class _Predictions:
    """What the scores need of one dump: (N,) arrays instead of (N, C) logits."""

    header: OutputsHeader
    predictions: np.ndarray
    confidences: np.ndarray
    temperature: float | None
    calibrated: np.ndarray | None


def make_grouping(
    n_classes: int, d_groups: Labels | None = None, p_groups: Labels | None = None
) -> Grouping:
    """Return the groups of the schemes all, D, P and DxP as columns; without D or P, no DxP.

    Args:
        n_classes: C.
        d_groups: (C,) D-Many, D-Medium or D-Few.
        p_groups: (C,) P-Many, P-Medium or P-Few.

    Raises:
        UserError: labels of the wrong number, or unknown ones.
    """
    names, columns = [("all", "Overall")], [np.ones(n_classes, dtype=bool)]
    inside: dict[str, np.ndarray] = {}
    for scheme, given in (("D", d_groups), ("P", p_groups)):
        if given is None:
            continue
        labels, known = np.asarray(given), SCHEME_GROUPS[scheme]
        if labels.shape != (n_classes,):
            raise UserError(f"{scheme}-groups: {labels.shape} labels for {n_classes} classes")
        unknown = sorted({str(label) for label in labels} - set(known))
        if unknown:
            raise UserError(f"{scheme}-groups: {unknown[0]!r}; allowed: {', '.join(known)}")
        for group in known:
            inside[group] = labels == group
            names.append((scheme, group))
            columns.append(inside[group])
    if d_groups is not None and p_groups is not None:
        for group in SCHEME_GROUPS["DxP"]:
            d, p = group.split("/")
            names.append(("DxP", group))
            columns.append(inside[d] & inside[p])
    return Grouping(names, np.stack(columns, axis=1))


def score_outputs(
    dumps: Sequence[Outputs],
    validation: Sequence[Outputs | None] | None = None,
    *,
    run: str,
    train_counts: np.ndarray | None = None,
    d_groups: Labels | None = None,
    p_groups: Labels | None = None,
    q: np.ndarray | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> Scores:
    """Score all dumps of one split, and compare those that the paper compares.

    All dumps share the bootstrap's resamples, so that the intervals of gaps and gains are those of
    paired differences. A group without a scored class gives a row with n_classes 0 and no value.

    Args:
        dumps: Outputs on one split; logits may be memory-mapped, they are read once.
        validation: For each dump the same predictor on another split, which gives its temperature and
            `ece_calibrated`, or None.
        run: Name of the run, first column of the table.
        train_counts: (C,) downstream training images, for the per-class table, or None.
        d_groups: (C,) labels D-Many, D-Medium, D-Few, or None: no schemes D and DxP.
        p_groups: (C,) labels P-Many, P-Medium, P-Few, or None: no schemes P and DxP.
        q: (C,) pre-training prior, for the per-class table, or None.
        replicates: Bootstrap replicates.
        seed: Seed of the bootstrap.

    Raises:
        UserError: no dumps, dumps of different splits, two dumps that would share their rows, a
            temperature that is not of the same predictor on another split, or groups that do not fit.
    """
    if not dumps:
        raise UserError("nothing to score: no dumps were given")
    check_same_split(dumps)
    _check_distinct(dumps)
    labels, n_classes = np.asarray(dumps[0].labels), dumps[0].n_classes
    groups = make_grouping(n_classes, d_groups, p_groups)
    for name, values in (("train_counts", train_counts), ("q", q)):
        if values is not None and np.shape(values) != (n_classes,):
            raise UserError(f"{name}: shape {np.shape(values)} for {n_classes} classes")
    pairs = zip(dumps, validation or [None] * len(dumps), strict=True)
    predicted = [_predictions(dump, other) for dump, other in pairs]
    rows = _score_rows(predicted, labels, groups, replicates, seed)
    constant = {"run": run, "dataset": dumps[0].header.dataset, "split": dumps[0].header.split}
    table = as_frame([constant | row for row in rows], SCORES)
    class_rows = [
        constant | row for dump in predicted for row in _class_rows(dump, labels, train_counts, q)
    ]
    return Scores(table, as_frame(class_rows, PER_CLASS))


def _identity(header: OutputsHeader) -> tuple:
    return tuple(
        header.members_key if name == "members" else getattr(header, name) for name in JOINED
    )


def _check_distinct(dumps: Sequence[Outputs]) -> None:
    seen: dict[tuple, str] = {}
    for dump in dumps:
        key = _identity(dump.header)
        if key in seen:
            raise UserError(
                f"{seen[key]} and {dump.source}: both are {dump.header.title}; score one of them"
            )
        seen[key] = dump.source


def _predictions(dump: Outputs, validation: Outputs | None) -> _Predictions:
    temperature = calibrated = None
    if validation is not None:
        there, here = validation.header, dump.header
        if _identity(there) != _identity(here) or there.split == here.split:
            raise UserError(
                f"{there.title} and {here.title}: a temperature must be fitted on another split of the "
                "same predictor"
            )
        temperature = metrics.fit_temperature(validation.logits, np.asarray(validation.labels))
        calibrated = metrics.confidence(dump.logits, temperature)
    return _Predictions(
        header=dump.header,
        predictions=dump.predicted,
        confidences=metrics.confidence(dump.logits),
        temperature=temperature,
        calibrated=calibrated,
    )


def _class_rows(
    dump: _Predictions,
    labels: np.ndarray,
    train_counts: np.ndarray | None,
    q: np.ndarray | None,
) -> list[dict]:
    n_classes = len(dump.header.class_names)
    accuracy, images = metrics.per_class_accuracy(labels, dump.predictions, n_classes)
    n_predicted = np.bincount(dump.predictions, minlength=n_classes)
    identity = joined(dump.header, dump.header)
    return [
        identity
        | {
            "class_index": index,
            "class_name": name,
            "train_count": None if train_counts is None else int(train_counts[index]),
            "q": float("nan") if q is None else float(q[index]),
            "n_images": int(images[index]),
            "n_predicted": int(n_predicted[index]),
            "accuracy": 100 * accuracy[index],
        }
        for index, name in enumerate(dump.header.class_names)
    ]


def _score_rows(
    dumps: Sequence[_Predictions],
    labels: np.ndarray,
    groups: Grouping,
    replicates: int,
    seed: int,
) -> list[dict]:
    """Return the rows of the table, without run, dataset and split."""
    n_classes = len(groups.members)
    present = np.bincount(labels, minlength=n_classes) > 0
    sizes = (groups.members & present[:, None]).sum(axis=0)
    accuracies = [
        metrics.per_class_accuracy(labels, dump.predictions, n_classes)[0] for dump in dumps
    ]
    pairs = comparisons([dump.header for dump in dumps])
    boot = _bootstrap(dumps, labels, groups, pairs, replicates, seed)
    # Group means and differences are linear in the class accuracies: (dumps, groups).
    values = np.array(
        [
            [metrics.group_accuracy(accuracy, column) for column in groups.members.T]
            for accuracy in accuracies
        ]
    )
    rows: list[dict] = []
    for k, dump in enumerate(dumps):
        found = _linear_rows(groups, sizes, values[k], boot.groups[k], "accuracy", "spread")
        replicates_of = {metric: drawn[k] for metric, drawn in boot.overall.items()}
        found += _overall_rows(dump, labels, accuracies[k], replicates_of)
        rows += [joined(dump.header, dump.header) | row for row in found]
    for p, (left, right, what) in enumerate(pairs):
        if what == "gap":
            gap = metrics.average_gap(accuracies[left], accuracies[right])
            limits = centered_interval(boot.gaps[p], np.asarray(gap))
            found = [_row("average_gap", "all", "Overall", sizes[0], gap, *limits)]
        else:
            value, drawn = values[left] - values[right], boot.groups[left] - boot.groups[right]
            found = _linear_rows(groups, sizes, value, drawn, "accuracy_gain", "spread_gain")
        identity = joined(dumps[left].header, dumps[right].header)
        rows += [identity | row for row in found]
    return rows


def _linear_rows(
    groups: Grouping,
    sizes: np.ndarray,
    value: np.ndarray,
    replicates: np.ndarray,
    metric: str,
    spread_metric: str,
) -> list[dict]:
    """Rows of every group, (G,) values and (G, B) replicates, and of the spreads Many minus Few."""
    rows = [
        _row(metric, scheme, group, sizes[g], value[g], *interval(replicates[g]))
        for g, (scheme, group) in enumerate(groups.names)
    ]
    for scheme, group in SPREAD_GROUPS.items():
        if any(scheme == known for known, _ in groups.names):
            many, few = groups.index(f"{scheme}-Many"), groups.index(f"{scheme}-Few")
            spread, size = value[many] - value[few], sizes[many] + sizes[few]
            limits = interval(replicates[many] - replicates[few])
            rows.append(_row(spread_metric, scheme, group, size, spread, *limits))
    return rows


def _overall_rows(
    dump: _Predictions, labels: np.ndarray, accuracy: np.ndarray, replicates: dict[str, np.ndarray]
) -> list[dict]:
    """Rows of the metrics of all classes together, and of the temperature."""
    n_present = int((~np.isnan(accuracy)).sum())
    rows = []
    for metric, value in _overall_metrics(dump, labels, accuracy).items():
        drawn = replicates[metric]
        is_absolute = metric.startswith("ece")
        limits = centered_interval(drawn, np.asarray(value)) if is_absolute else interval(drawn)
        rows.append(_row(metric, "all", "Overall", n_present, value, *limits))
    if dump.temperature is not None:
        rows.append(_row("temperature", "all", "Overall", n_present, dump.temperature))
    return rows


def _row(
    metric: str,
    scheme: str,
    group: str,
    n_classes: int,
    value: float,
    low: "float | np.ndarray" = float("nan"),
    high: "float | np.ndarray" = float("nan"),
) -> dict:
    """Return the end of a row; shares and their differences come as fractions."""
    scale = 100 if UNITS[metric] in (PERCENT, POINTS) else 1
    return {
        "scheme": scheme,
        "group": group,
        "n_classes": int(n_classes),
        "metric": metric,
        "value": scale * float(value),
        "ci_low": scale * float(low),
        "ci_high": scale * float(high),
    }


def _overall_metrics(
    dump: _Predictions, labels: np.ndarray, accuracy: np.ndarray
) -> dict[str, float]:
    correct = labels == dump.predictions
    values = {
        "macro_f1": metrics.macro_f1(labels, dump.predictions, accuracy.size),
        "worst_class_accuracy": metrics.worst_class_accuracy(accuracy),
        "harmonic_mean": metrics.harmonic_mean(accuracy),
        "geometric_mean": metrics.geometric_mean(accuracy),
        "ece": metrics.expected_calibration_error(dump.confidences, correct),
    }
    if dump.calibrated is not None:
        values["ece_calibrated"] = metrics.expected_calibration_error(dump.calibrated, correct)
    return values


@dataclass(frozen=True)
class _Bootstrap:
    """Replicates of everything: K dumps, G groups, B replicates."""

    groups: np.ndarray
    """(K, G, B) group accuracies"""
    overall: dict[str, np.ndarray]
    """metric -> (K, B), NaN where a dump has no such metric"""
    gaps: dict[int, np.ndarray]
    """position of a comparison -> (B,) average gaps"""


def _bootstrap(
    dumps: Sequence[_Predictions],
    labels: np.ndarray,
    groups: Grouping,
    pairs: Sequence[Comparison],
    replicates: int,
    seed: int,
) -> _Bootstrap:
    from tqdm import tqdm

    images = np.bincount(labels, minlength=len(groups.members))
    present = images > 0
    # Mean over the scored classes of each group, NaN for a group that has none.
    scored = (groups.members & present[:, None]).astype(np.float64)
    with np.errstate(invalid="ignore"):
        mean = (scored / scored.sum(axis=0)).T[:, present]
    counting = [_counting(dump, labels, images.size) for dump in dumps]
    result = _Bootstrap(
        groups=np.empty((len(dumps), len(groups.names), replicates)),
        overall={m: np.full((len(dumps), replicates), np.nan) for m in OVERALL_METRICS},
        gaps={p: np.empty(replicates) for p, pair in enumerate(pairs) if pair.what == "gap"},
    )
    start = 0
    with tqdm(total=replicates, desc="bootstrap", unit="replicate", disable=None) as progress:
        for weights in weight_blocks(labels, replicates, seed):
            block = slice(start, start + weights.shape[1])
            accuracy = np.empty((len(dumps), int(present.sum()), weights.shape[1]))
            for k, matrix in enumerate(counting):
                accuracy[k], overall = _resampled((matrix @ weights).astype(np.float64), images)
                result.groups[k, :, block] = mean @ accuracy[k]
                for metric, values in overall.items():
                    result.overall[metric][k, block] = values
            for p, gaps in result.gaps.items():
                left, right, _ = pairs[p]
                gaps[block] = np.abs(accuracy[left] - accuracy[right]).mean(axis=0)
            start = block.stop
            progress.update(weights.shape[1])
    return result


def _resampled(counts: np.ndarray, images: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Accuracies of the classes that have images, (c, b), and metric -> (b,), of a block of replicates.

    Args:
        counts: (rows of `_counting`, b).
        images: (C,) images of each class.
    """
    n_classes, bins = images.size, metrics.ECE_BINS
    present = images > 0
    per_image = images[present, None].astype(np.float64)
    correct = counts[:n_classes][present]
    predicted = counts[n_classes : 2 * n_classes][present]
    excess = np.abs(counts[2 * n_classes :])
    accuracy = correct / per_image
    floored = np.maximum(accuracy, metrics.HARMONIC_FLOOR)
    with np.errstate(divide="ignore"):
        logs = np.log(accuracy).mean(axis=0)
    overall = {
        "macro_f1": (2 * correct / (per_image + predicted)).mean(axis=0),
        "worst_class_accuracy": accuracy.min(axis=0),
        "harmonic_mean": 1 / (1 / floored).mean(axis=0),
        "geometric_mean": np.exp(logs),
        "ece": excess[:bins].sum(axis=0) / images.sum(),
    }
    if len(excess) > bins:
        overall["ece_calibrated"] = excess[bins:].sum(axis=0) / images.sum()
    return accuracy, overall


def _counting(dump: _Predictions, labels: np.ndarray, n_classes: int):
    """Return the sparse matrix that turns image weights into all sums that the metrics need.

    Its rows: right predictions of each class, predictions of each class, and confidence minus
    correctness in each bin, before and (if there is a temperature) after calibration.
    """
    from scipy.sparse import vstack

    correct = (labels == dump.predictions).astype(float)
    parts = [indicator(labels, n_classes, correct), indicator(dump.predictions, n_classes)]
    for values in (dump.confidences, dump.calibrated):
        if values is not None:
            bins = metrics.confidence_bin(values)
            parts.append(indicator(bins, metrics.ECE_BINS, values - correct))
    return vstack(parts, format="csr")

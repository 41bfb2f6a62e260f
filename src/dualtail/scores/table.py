"""Score dumps: one function for zero-shot, tuned, adjusted, fused and imported outputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dualtail.errors import UserError
from dualtail.outputs import Outputs, OutputsHeader, check_same_split
from dualtail.scores import metrics
from dualtail.scores.bootstrap import (
    differing,
    indicator,
    mean_interval,
    moved_interval,
    weight_blocks,
)
from dualtail.scores.comparisons import JOINED, comparisons, gap_changes, joined
from dualtail.scores.gaps import difference, root, squared_gap, squared_gap_change
from dualtail.scores.schema import (
    PER_CLASS,
    PERCENT,
    POINTS,
    SCHEME_GROUPS,
    SCORES,
    SPREAD_GROUPS,
    SQUARED_POINTS,
    UNITS,
    as_frame,
)

if TYPE_CHECKING:
    import pandas as pd

Labels = np.ndarray | Sequence[str]
"""Name of the group of every class, (C,)."""


@dataclass(frozen=True)
class Scores:
    """Class counts, groups and settings for the dumps of one split."""

    table: "pd.DataFrame"
    """the tidy table, columns as in `schema.COLUMNS`"""
    per_class: "pd.DataFrame"
    """one row per dump and class, columns as in `schema.PER_CLASS_COLUMNS`"""


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
    """The part of a dump that scores need: (N,) arrays instead of (N, C) logits."""

    header: OutputsHeader
    predictions: np.ndarray
    confidences: np.ndarray
    validation: "_Validation | None"


@dataclass(frozen=True)
class _Validation:
    """Quantities of a dump that come from another split."""

    accuracy: float
    """mean over classes"""
    error: float
    """its standard error"""
    temperature: float
    calibrated: np.ndarray
    """(N,) confidences of the split that is scored, with that temperature"""


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
    paired differences. A group without a scored class gives a row with n_classes 0 and no value. Worst
    class, harmonic and geometric mean, calibration errors and Eq. 5's gap have no interval: they are
    extremes, or grow with noise; others have one where it covers (`scores.bootstrap`, `scores.gaps`).

    Args:
        dumps: Outputs on one split; logits may be memory-mapped, they are read once.
        validation: For each dump the same predictor on another split, which gives its temperature,
            `ece_calibrated` and `validation_accuracy`, or None.
        train_counts: (C,) downstream training images, for the per-class table, or None.
        d_groups: (C,) labels D-Many, D-Medium, D-Few, or None: no schemes D and DxP.
        p_groups: (C,) labels P-Many, P-Medium, P-Few, or None: no schemes P and DxP.
        q: (C,) pre-training prior, for the per-class table, or None.

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
    return _Predictions(
        header=dump.header,
        predictions=dump.predicted,
        confidences=metrics.confidence(dump.logits),
        validation=None if validation is None else _validated(dump, validation),
    )


def _validated(dump: Outputs, validation: Outputs) -> _Validation:
    there, here = validation.header, dump.header
    if _identity(there) != _identity(here) or there.split == here.split:
        raise UserError(
            f"{there.title} and {here.title}: a temperature must be fitted on another split of the "
            "same predictor"
        )
    labels = np.asarray(validation.labels)
    temperature = metrics.fit_temperature(validation.logits, labels)
    accuracy, images = metrics.per_class_accuracy(labels, validation.predicted, dump.n_classes)
    return _Validation(
        accuracy=metrics.group_accuracy(accuracy, images > 0),
        error=metrics.mean_accuracy_error(accuracy, images),
        temperature=temperature,
        calibrated=metrics.confidence(dump.logits, temperature),
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
    images = np.bincount(labels, minlength=len(groups.members))
    accuracies = [
        metrics.per_class_accuracy(labels, dump.predictions, images.size)[0] for dump in dumps
    ]
    boot = _bootstrap(dumps, labels, groups, replicates, seed)
    # Group means and differences are linear in the class accuracies: (dumps, groups).
    values = np.array(
        [
            [metrics.group_accuracy(accuracy, column) for column in groups.members.T]
            for accuracy in accuracies
        ]
    )
    right = [labels == dump.predictions for dump in dumps]
    rows: list[dict] = []
    for k, dump in enumerate(dumps):
        one = _Linear(values[k], boot.groups[k], right[k].astype(np.int8))
        found = _linear_rows(groups, labels, images, one, "accuracy", "spread")
        found += _overall_rows(dump, labels, accuracies[k], boot.macro_f1[k], images)
        rows += [joined(dump.header, dump.header) | row for row in found]
    for left, other, what in comparisons([dump.header for dump in dumps]):
        if what == "gap":
            found = _gap_rows(
                accuracies[left], accuracies[other], right[left], right[other], labels
            )
        else:
            one = _Linear(
                values[left] - values[other],
                boot.groups[left] - boot.groups[other],
                right[left].astype(np.int8) - right[other],
            )
            found = _linear_rows(groups, labels, images, one, "accuracy_gain", "spread_gain")
        identity = joined(dumps[left].header, dumps[other].header)
        rows += [identity | row for row in found]
    return rows + _gap_change_rows(dumps, right, labels)


@dataclass(frozen=True)
class _Linear:
    """A mean over classes of something of every image: correctness, or a difference of it."""

    values: np.ndarray
    """(G,) of the groups"""
    replicates: np.ndarray
    """(G, B)"""
    per_image: np.ndarray
    """(N,) -1, 0 or 1"""


def _linear_rows(
    groups: Grouping,
    labels: np.ndarray,
    images: np.ndarray,
    one: _Linear,
    metric: str,
    spread_metric: str,
) -> list[dict]:
    """Rows of every group, and of the spreads Many minus Few."""
    sizes = (groups.members & (images > 0)[:, None]).sum(axis=0)
    n_differing = [differing(one.per_image[column[labels]]) for column in groups.members.T]
    limits = [
        mean_interval(drawn, count, images[column])
        for column, drawn, count in zip(groups.members.T, one.replicates, n_differing, strict=True)
    ]
    rows = [
        _row(metric, scheme, group, sizes[g], one.values[g], *limits[g])
        for g, (scheme, group) in enumerate(groups.names)
    ]
    for scheme, group in SPREAD_GROUPS.items():
        if any(scheme == known for known, _ in groups.names):
            many, few = groups.index(f"{scheme}-Many"), groups.index(f"{scheme}-Few")
            spread, size = one.values[many] - one.values[few], sizes[many] + sizes[few]
            drawn = one.replicates[many] - one.replicates[few]
            both = images[groups.members[:, many] | groups.members[:, few]]
            ends = mean_interval(drawn, min(n_differing[many], n_differing[few]), both)
            rows.append(_row(spread_metric, scheme, group, size, spread, *ends))
    return rows


def _gap_rows(
    accuracy: np.ndarray,
    other: np.ndarray,
    right: np.ndarray,
    right_other: np.ndarray,
    labels: np.ndarray,
) -> list[dict]:
    """Rows of Eq. 5 as the paper defines it, and of the gap without noise."""
    without_noise = root(squared_gap(difference(right, right_other, labels)))
    n_classes, n_judged = (int((np.bincount(labels) > fewest).sum()) for fewest in (0, 1))
    gap = metrics.average_gap(accuracy, other)
    return [
        _row("average_gap", "all", "Overall", n_classes, gap),
        _row("gap_without_noise", "all", "Overall", n_judged, *without_noise),
    ]


def _gap_change_rows(
    dumps: Sequence[_Predictions], right: Sequence[np.ndarray], labels: np.ndarray
) -> list[dict]:
    """Rows of what tuning changes of the squared gap without noise."""
    headers = [dump.header for dump in dumps]
    rows = []
    for after, before in gap_changes(headers):
        pairs = [
            difference(right[left], right[other], labels) for left, other, _ in (after, before)
        ]
        found = squared_gap_change(*pairs)
        members = joined(headers[after.left], headers[after.right])["members"]
        identity = joined(headers[after.left], headers[before.left]) | {"members": members}
        n_classes = pairs[0].images.size
        rows.append(identity | _row("squared_gap_change", "all", "Overall", n_classes, *found))
    return rows


def _overall_rows(
    dump: _Predictions,
    labels: np.ndarray,
    accuracy: np.ndarray,
    macro_f1: np.ndarray,
    images: np.ndarray,
) -> list[dict]:
    """Rows of the metrics of all classes together, and of the temperature."""
    n_present = int((images > 0).sum())
    rows = []
    for metric, value in _overall_metrics(dump, labels, accuracy).items():
        ends = moved_interval(macro_f1, value, images) if metric == "macro_f1" else ()
        rows.append(_row(metric, "all", "Overall", n_present, value, *ends))
    there = dump.validation
    if there is not None:
        rows.append(_row("temperature", "all", "Overall", n_present, there.temperature))
        error = there.error or float("nan")  # zero: every class is all alike
        half = metrics.NORMAL_HALF_WIDTH * error
        ends = (there.accuracy - half, there.accuracy + half)
        rows.append(_row("validation_accuracy", "all", "Overall", n_present, there.accuracy, *ends))
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
    """Return the end of a row; shares, their differences and squares come as fractions."""
    if UNITS[metric] == PERCENT:
        low, high = np.clip(float(low), 0, 1), np.clip(float(high), 0, 1)
    scale = {PERCENT: 100, POINTS: 100, SQUARED_POINTS: 100**2}.get(UNITS[metric], 1)
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
    if dump.validation is not None:
        calibrated = dump.validation.calibrated
        values["ece_calibrated"] = metrics.expected_calibration_error(calibrated, correct)
    return values


@dataclass(frozen=True)
class _Bootstrap:
    """Replicates of what has intervals: K dumps, G groups, B replicates."""

    groups: np.ndarray
    """(K, G, B) group accuracies"""
    macro_f1: np.ndarray
    """(K, B)"""


def _bootstrap(
    dumps: Sequence[_Predictions],
    labels: np.ndarray,
    groups: Grouping,
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
        macro_f1=np.empty((len(dumps), replicates)),
    )
    per_image = images[present, None].astype(np.float64)
    start = 0
    with tqdm(total=replicates, desc="bootstrap", unit="replicate", disable=None) as progress:
        for weights in weight_blocks(labels, replicates, seed):
            block = slice(start, start + weights.shape[1])
            for k, matrix in enumerate(counting):
                counts = (matrix @ weights).astype(np.float64)
                correct, predicted = counts[: images.size][present], counts[images.size :][present]
                result.groups[k, :, block] = mean @ (correct / per_image)
                result.macro_f1[k, block] = (2 * correct / (per_image + predicted)).mean(axis=0)
            start = block.stop
            progress.update(weights.shape[1])
    return result


def _counting(dump: _Predictions, labels: np.ndarray, n_classes: int):
    """Return the sparse matrix (2 C, N): right predictions of each class, then predictions of it."""
    from scipy.sparse import vstack

    correct = (labels == dump.predictions).astype(float)
    parts = [indicator(labels, n_classes, correct), indicator(dump.predictions, n_classes)]
    return vstack(parts, format="csr")

"""Are equal weights right? Fusions of all members with fitted weights and temperatures, and without."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dualtail.bias.combined_outputs import Fitted, fit_fusion, fuse_outputs
from dualtail.bias.scaled_sum import ScaledSum
from dualtail.outputs import Outputs, check_same_split
from dualtail.paper.layout import Table, grid
from dualtail.scores.bootstrap import Estimate
from dualtail.scores.class_means import class_means
from dualtail.scores.metrics import confidence, expected_calibration_error

ALONE, LOGITS, PROBABILITIES = "alone", "logits", "probabilities"
EQUAL, CALIBRATED, FITTED, BOTH = "equal", "calibrated", "fitted", "calibrated, fitted"
FIT = {
    (LOGITS, FITTED): "Fitted weights of logits",
    (PROBABILITIES, FITTED): "Fitted weights of probabilities",
    (PROBABILITIES, BOTH): "Fitted weights of calibrated probabilities",
    (LOGITS, CALIBRATED): "Calibrated members, logits",
    (PROBABILITIES, CALIBRATED): "Calibrated members, probabilities",
}
"""What is compared with equal weights, and what sentences call it."""


class Row(NamedTuple):
    """One predictor on the test split."""

    rule: str
    """alone, logits or probabilities"""
    what: str
    """of a model alone, its name; then what is fitted"""
    accuracy: Estimate
    """%, mean over classes"""
    gain: Estimate | None
    """of accuracy over equal weights, paired; of a model alone there is none"""
    ece: float
    """%"""
    loss: Estimate
    """nats, mean over classes"""
    weights: Mapping[str, Estimate]
    """member -> P(c), where it was fitted"""
    temperatures: Mapping[str, Estimate]
    """member -> temperature, where it was fitted"""
    at_bound: Sequence[str] = ()
    """members whose temperature lies at a bound of its search, on all images or in a fold"""


class _Seen(NamedTuple):
    rule: str
    what: str
    fitted: Fitted | None
    correct: NDArray[np.float64]
    """(N,) 100 where the prediction is right, else 0"""
    loss: NDArray[np.float64]
    """(N,) nats"""
    ece: float


def weight_rows(
    labeled: Sequence[Outputs], test: Sequence[Outputs], replicates: int, seed: int
) -> list[Row]:
    """Return the rows of one dataset and tuning.

    Args:
        labeled: Outputs of the members on the split to fit on; if that is test, it is cross-fitted.
        test: Outputs of the same members on the test split.

    Raises:
        UserError: members on different images.
    """
    check_same_split(test)
    members = [dump.header.members_key for dump in test]
    seen = list(_predictors(labeled, test))
    equal = {one.rule: one.correct for one in seen if one.what == EQUAL}
    values = [
        value
        for one in seen
        for value in (one.correct, one.correct - equal.get(one.rule, one.correct), one.loss)
    ]
    means = class_means(np.stack(values), np.asarray(test[0].labels), replicates, seed)
    rows = []
    for k, one in enumerate(seen):
        accuracy, gain, loss = means[3 * k : 3 * k + 3]
        is_compared = one.rule != ALONE and one.what != EQUAL
        compared = gain if is_compared else None
        told = _told(one, members)
        rows.append(Row(one.rule, one.what, accuracy, compared, one.ece, loss, *told))
    return rows


def _predictors(labeled: Sequence[Outputs], test: Sequence[Outputs]) -> Iterator[_Seen]:
    """Members as they are and calibrated, then all fusions."""
    calibrated = fit_fusion(labeled, LOGITS, None, calibrate=True)  # the same for every rule
    for k, dump in enumerate(test):
        yield _seen(ALONE, dump.header.members_key, None, dump)
        name = f"{dump.header.members_key}, {CALIBRATED}"
        yield _seen(ALONE, name, calibrated, _divided(dump, calibrated, k))
    for rule in (LOGITS, PROBABILITIES):
        fits = {EQUAL: None, CALIBRATED: calibrated, FITTED: fit_fusion(labeled, rule)}
        if rule == PROBABILITIES:
            fits[BOTH] = fit_fusion(labeled, rule, calibrate=True)
        for what, fitted in fits.items():
            yield _seen(rule, what, fitted, fuse_outputs(test, rule, fitted=fitted))


def _divided(dump: Outputs, fitted: Fitted, k: int) -> Outputs:
    """Member k, calibrated."""
    fit = fitted.fit
    scales = np.full(dump.n_images, fit.whole.scales[k])
    if dump.header.split == fitted.split:
        scales = np.array([one.scales[k] for one in fit.folds])[fit.fold_of]
    return replace(dump, logits=dump.logits * scales.astype(np.float32)[:, None])


def _seen(rule: str, what: str, fitted: Fitted | None, dump: Outputs) -> _Seen:
    labels = np.asarray(dump.labels)
    right = dump.predicted == labels
    loss = ScaledSum([dump.logits], labels).at(np.ones(1)).loss
    ece = 100 * expected_calibration_error(confidence(dump.logits), right)
    return _Seen(rule, what, fitted, 100.0 * right, loss, ece)


def _told(
    seen: _Seen, members: Sequence[str]
) -> tuple[dict[str, Estimate], dict[str, Estimate], list[str]]:
    """P(c) and temperatures as they were fitted on all images, with intervals; whose lie at a bound."""
    weights: dict[str, Estimate] = {}
    temperatures: dict[str, Estimate] = {}
    at_bound: list[str] = []
    if seen.fitted is None:
        return weights, temperatures, at_bound
    fit = seen.fitted.fit
    for k, member in enumerate(members):
        low, high = fit.weight_intervals[k].tolist()
        if low < high:
            weights[member] = Estimate(float(fit.whole.weights[k]), low, high)
        low, high = fit.scale_intervals[k].tolist()
        scale = float(fit.whole.scales[k])
        if seen.rule == ALONE and seen.what.split(",")[0] != member:
            continue
        if any(one.at_bound[k] for one in (fit.whole, *fit.folds)):
            at_bound.append(member)
            temperatures |= {member: Estimate(1 / scale)} if scale > 0 else {}
        elif low < high:
            ends = (1 / high, 1 / low) if low > 0 else ()
            temperatures[member] = Estimate(1 / scale, *ends)
    return weights, temperatures, at_bound


def weights_table(
    rows: Mapping[tuple[str, str], Sequence[Row]], members: Mapping[str, str]
) -> Table:
    """Lay out (dataset, tuning) -> rows; `members` have labels."""
    columns = [("", name) for name in ("Accuracy", "Gain", "ECE", "NLL")]
    columns += [("P(c)", member) for member in members]
    columns += [("Temperature", member) for member in members]
    is_any_at_bound = any(row.at_bound for found in rows.values() for row in found)
    columns += [("", AT_BOUND)] if is_any_at_bound else []

    def cell(row: Row, column: tuple[str, str]) -> object:
        group, name = column
        if group == "P(c)":
            return row.weights.get(name)
        if group == "Temperature":
            return row.temperatures.get(name)
        if name == AT_BOUND:
            return ", ".join(members[member] for member in row.at_bound)
        return {"Accuracy": row.accuracy, "Gain": row.gain, "ECE": row.ece, "NLL": row.loss}[name]

    def label(what: str) -> str:
        member, comma, rest = what.partition(",")
        return members[member] + comma + rest if member in members else what

    return Table(
        name="fusion_weights",
        title="Equal weights against fitted ones",
        caption=(
            "All members fused with equal and with fitted weights P(c), as they are and calibrated "
            "(each divided by a temperature of its own): accuracy (%, mean over classes), its gain over "
            "equal weights (points), expected calibration error (%), negative log-likelihood (nats)."
        ),
        cells=grid(
            rows=[
                ((*where, row.rule, label(row.what)), row)
                for where, found in rows.items()
                for row in found
            ],
            columns=[((group, members.get(name, name)), (group, name)) for group, name in columns],
            row_names=["Dataset", "Tuning", "Fused", "What is fitted"],
            cell=cell,
        ),
        notes=(
            *findings(list(rows.values())),
            *NOTES,
            *([BOUND_NOTE] if is_any_at_bound else []),
        ),
    )


AT_BOUND = "At bound"
BOUND_NOTE = (
    f"{AT_BOUND}: models whose temperature lies at a bound of its search, which is not an estimate. At the "
    "lower one no image is predicted wrongly, so the data cannot say how confident the model should be; at "
    "the upper one its logits do not help to tell the labels."
)
NOTES = (
    "Fitted on the validation split by the likelihood in which classes count alike; where there is none, "
    "on the test split, each fold by what the others say. Gains are paired over test images.",
    "Fitted weights of logits have the scale of the fused logits fitted with them, so that calibrating "
    "members first changes nothing but the scale on which P(c) is told. A temperature that is endless in "
    "some resamples has no interval.",
)


def findings(found: Sequence[Sequence[Row]]) -> list[str]:
    """Return sentences on what fitting gains, and on what calibrating does to calibration."""
    sentences = []
    for (rule, what), name in FIT.items():
        gains = [r.gain for rows in found for r in rows if (r.rule, r.what) == (rule, what)]
        known = [gain for gain in gains if gain is not None]
        better = sum(gain.low > 0 for gain in known)
        worse = sum(gain.high < 0 for gain in known)
        values = [gain.value for gain in known]
        sentences.append(
            f"{name}, over equal weights: {min(values):+.1f} to {max(values):+.1f} points of accuracy; the "
            f"interval lies above 0 in {better} and below 0 in {worse} of {len(known)} cases."
        )
    for what, rule in (("a member alone", ALONE), ("the mean of probabilities", PROBABILITIES)):
        pairs = [pair for rows in found for pair in _before_and_after(rows, rule)]
        sentences.append(
            f"Calibrating members lowers the calibration error of {what} in "
            f"{sum(after.ece < before.ece for before, after in pairs)} of {len(pairs)} cases: from "
            f"{min(before.ece for before, _ in pairs):.1f} to "
            f"{max(before.ece for before, _ in pairs):.1f} % it becomes "
            f"{min(after.ece for _, after in pairs):.1f} to {max(after.ece for _, after in pairs):.1f} %."
        )
    return sentences


def _before_and_after(rows: Sequence[Row], rule: str) -> list[tuple[Row, Row]]:
    """Predictors as they are, and with calibrated members."""
    by_name = {(row.rule, row.what): row for row in rows}
    if rule != ALONE:
        return [(by_name[rule, EQUAL], by_name[rule, CALIBRATED])]
    return [
        (row, by_name[rule, f"{what}, {CALIBRATED}"])
        for (of, what), row in by_name.items()
        if of == ALONE and (rule, f"{what}, {CALIBRATED}") in by_name
    ]

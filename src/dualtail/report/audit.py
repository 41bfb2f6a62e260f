"""What outputs say about a model's classes: prior, accuracy, groups, gain of adjusting and fusing. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dualtail.bias.groups import CROSS_GROUPS, cross_groups, d_groups, p_groups
from dualtail.bias.prior.bootstrap import PriorIntervals, bootstrap_prior
from dualtail.bias.prior.calibration import estimate_prior_calibrated
from dualtail.bias.prior.estimate import PriorEstimate
from dualtail.bias.prior.precision import MOST_ABSENT, WIDEST, interval_ratio
from dualtail.bias.softmax import FloatArray, IntArray
from dualtail.config.names import first_of
from dualtail.errors import UserError
from dualtail.outputs import Outputs, check_same_split
from dualtail.report.audit_combinations import Combination, CrossFitted, cross_fit
from dualtail.scores.bootstrap import FEWEST_PER_CLASS, Estimate
from dualtail.scores.class_means import ClassMeans
from dualtail.scores.metrics import per_class_accuracy


@dataclass(frozen=True)
class AuditSettings:
    """Intervals and groups."""

    bootstrap: int = 200
    seed: int = 0
    many: int = 100
    few: int = 20


@dataclass(frozen=True, eq=False)
class ModelAudit:
    """One model on the images. Of every class, (C,): images, predictions, accuracy (NaN without a label)."""

    name: str
    seen: str
    """what the model saw of an image, "" if the dump does not say"""
    prior: PriorEstimate
    intervals: PriorIntervals
    images: IntArray
    accuracy: FloatArray
    accuracy_low: FloatArray
    """95 % Wilson interval"""
    accuracy_high: FloatArray
    predicted: IntArray
    """images predicted as the class"""
    top1: float
    """share of images that are right"""
    mean_accuracy: Estimate
    """mean of per-class accuracies"""
    adjusted: Estimate | None
    """gain in that from f - log q, q from the other half of the images; None: too few images"""
    nine_groups: dict[str, tuple[Estimate, int]] | None
    """accuracy and classes by name, None without training counts"""

    @property
    def n_classes(self) -> int:
        return self.accuracy.size

    @property
    def share(self) -> FloatArray:
        """(C,) q in even shares: 1 is what a model without preferences gives every class."""
        return self.prior.q * self.n_classes

    @property
    def present(self) -> NDArray[np.bool_]:
        return self.images > 0

    @property
    def ascending(self) -> IntArray:
        """Classes with a label from the least to the most favored."""
        order = np.argsort(self.prior.q, kind="stable")
        return order[self.present[order]]

    @property
    def under_served(self) -> IntArray:
        """Classes whose whole interval of q lies below an even share, least favored first."""
        order = self.ascending
        return order[self.intervals.ci_high[order] * self.n_classes < 1]

    @property
    def favored(self) -> IntArray:
        """Classes whose whole interval of q lies above an even share, most favored first."""
        order = self.ascending[::-1]
        return order[self.intervals.ci_low[order] * self.n_classes > 1]

    @property
    def is_prior_unknown(self) -> bool:
        """Whether q is known too badly to call any class under-served or favored."""
        known, ratio = interval_ratio(self.intervals.ci_low, self.intervals.ci_high)
        return bool((~known).sum() > MOST_ABSENT * known.size or ratio > WIDEST)


class Tried(NamedTuple):
    """A combination of models, judged: q is from the other half of the images."""

    combination: Combination
    mean_accuracy: Estimate
    gain: Estimate
    """against the best single model"""


@dataclass(frozen=True)
class Combinations:
    """All combinations of models, and the best of them.

    Best are a combination and a single model that are chosen on one half of the images and judged on
    the other, both ways, so that no number is of images that it was chosen for.
    """

    tried: list[Tried]
    chosen: tuple[Combination, Combination]
    """by each half"""
    mean_accuracy: Estimate
    """of the chosen ones"""
    gain: Estimate
    """of these against the best single model"""
    single: Estimate
    """mean accuracy of the best single model"""
    under_served_gain: Estimate | None
    """the gain on the third of classes with the smallest geometric mean of the models' q"""


@dataclass(frozen=True, eq=False)
class Audit:
    """Everything a page says."""

    dataset: str
    class_names: list[str]
    n_images: int
    models: list[ModelAudit]
    combinations: Combinations | None
    """None: too few images to cut them into halves"""
    train_counts: IntArray | None
    cautions: list[str]


def audit_outputs(
    dumps: Sequence[Outputs],
    train_counts: IntArray | None = None,
    settings: AuditSettings = AuditSettings(),
) -> Audit:
    """Audit outputs of one or more models over the same labelled images.

    Args:
        train_counts: (C,) training images per class, for nine groups.

    Raises:
        UserError: no dump, dumps of different images, fewer than two classes with a label.
    """
    if not dumps:
        raise UserError("audit: no outputs")
    check_same_split(dumps)
    labels = np.asarray(dumps[0].labels)
    n_classes = dumps[0].n_classes
    images = np.bincount(labels, minlength=n_classes)
    if (images > 0).sum() < 2:
        raise UserError(f"{dumps[0].source}: images of one class only; an audit compares classes")
    judge = ClassMeans(labels, n_classes, settings.bootstrap, settings.seed)
    fitted = cross_fit(dumps, settings.seed)
    models = [
        _audit_model(
            dump, name, _gain_of_adjusting(fitted, place, judge), train_counts, judge, settings
        )
        for place, (dump, name) in enumerate(zip(dumps, names_of(dumps), strict=True))
    ]
    return Audit(
        dataset=dumps[0].header.dataset,
        class_names=dumps[0].header.class_names,
        n_images=labels.size,
        models=models,
        combinations=None if fitted is None else _combinations(fitted, models, judge),
        train_counts=train_counts,
        cautions=_cautions(images, dumps[0].header.class_names) + _not_zero_shot(dumps),
    )


def names_of(dumps: Sequence[Outputs]) -> list[str]:
    """Return a name for each dump: its members, or more of what it is where they are alike."""
    headers = [dump.header for dump in dumps]
    ways = (
        [header.members_key for header in headers],
        [header.predictor for header in headers],
        [Path(dump.source).stem for dump in dumps],
    )
    apart = [names for names in ways if len(set(names)) == len(names)]
    return apart[0] if apart else [dump.source for dump in dumps]


def wilson(correct: np.ndarray, images: np.ndarray) -> tuple[FloatArray, FloatArray]:
    """Return the 95 % Wilson score interval of correct / images; (0, 1) where there is no image."""
    z = 1.959964
    n = np.maximum(images, 1)
    p = correct / n
    center = p + z**2 / (2 * n)
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low, high = ((center + sign * half) / (1 + z**2 / n) for sign in (-1, 1))
    none = images == 0
    return np.where(none, 0.0, np.clip(low, 0, 1)), np.where(none, 1.0, np.clip(high, 0, 1))


def _audit_model(
    dump: Outputs,
    name: str,
    adjusted: Estimate | None,
    train_counts: IntArray | None,
    judge: ClassMeans,
    settings: AuditSettings,
) -> ModelAudit:
    labels, names = judge.labels, dump.header.class_names
    estimate = estimate_prior_calibrated(dump.logits, labels, class_names=names, seed=settings.seed)
    predictions = dump.predicted
    right = predictions == labels
    accuracy, images = per_class_accuracy(labels, predictions, judge.n_classes)
    low, high = wilson(np.bincount(labels[right], minlength=judge.n_classes), images)
    return ModelAudit(
        name=name,
        seen="; ".join(dict.fromkeys(record.transform for record in dump.header.models)),
        prior=estimate,
        intervals=bootstrap_prior(
            dump.logits, labels, estimate, replicates=settings.bootstrap, seed=settings.seed
        ),
        images=images,
        accuracy=accuracy,
        accuracy_low=low,
        accuracy_high=high,
        predicted=np.bincount(predictions, minlength=judge.n_classes),
        top1=float(right.mean()),
        mean_accuracy=judge.mean(right),
        adjusted=adjusted,
        nine_groups=None
        if train_counts is None
        else _nine_groups(train_counts, estimate.q, right, judge, settings),
    )


def _gain_of_adjusting(
    fitted: CrossFitted | None, place: int, judge: ClassMeans
) -> Estimate | None:
    """The gain of dividing one model's predictions by q."""
    if fitted is None:
        return None
    adjusted, plain = fitted.of(place, adjusted=True), fitted.of(place)
    return _gain(adjusted.astype(float) - plain, judge)


def _nine_groups(
    train_counts: IntArray,
    q: FloatArray,
    right: np.ndarray,
    judge: ClassMeans,
    settings: AuditSettings,
) -> dict[str, tuple[Estimate, int]]:
    crossed = cross_groups(d_groups(train_counts, settings.many, settings.few), p_groups(q))
    masks = {name: np.isin(np.arange(judge.n_classes), crossed[name]) for name in CROSS_GROUPS}
    return {name: (judge.mean(right, mask), int(mask.sum())) for name, mask in masks.items()}


def _combinations(fitted: CrossFitted, models: list[ModelAudit], judge: ClassMeans) -> Combinations:
    single = fitted.single_right.astype(float)
    gain = fitted.chosen_right - single
    shared = np.exp(np.mean([model.prior.log_q for model in models], axis=0))
    weak = np.zeros(judge.n_classes, bool)
    weak[p_groups(shared)["P-Few"]] = True
    weak &= judge.images > 0
    return Combinations(
        tried=[
            Tried(one, judge.mean(right), _gain(right - single, judge))
            for one, right in zip(fitted.combinations, fitted.right, strict=True)
        ],
        chosen=fitted.chosen,
        mean_accuracy=judge.mean(fitted.chosen_right),
        gain=_gain(gain, judge),
        single=judge.mean(single),
        under_served_gain=_gain(gain, judge, weak) if weak.any() else None,
    )


def _gain(
    values: np.ndarray, judge: ClassMeans, classes: NDArray[np.bool_] | None = None
) -> Estimate:
    """A mean with its interval where that covers: from `FEWEST_PER_CLASS` images in every class on."""
    found = judge.mean(values, classes)
    has_enough = judge.images[judge.images > 0].min() >= FEWEST_PER_CLASS
    return found if has_enough else Estimate(found.value)


def _not_zero_shot(dumps: Sequence[Outputs]) -> list[str]:
    """A line for each dump whose q is not of a pre-training alone."""
    return [
        f"{name}: these outputs are {dump.header.kind}. Their q is their bias, whatever it comes from; only "
        "that of zero-shot outputs describes a pre-training."
        for name, dump in zip(names_of(dumps), dumps, strict=True)
        if dump.header.kind not in ("zero-shot", "imported")
    ]


def _cautions(images: np.ndarray, names: list[str]) -> list[str]:
    """What a reader must know of the labels before believing a number."""
    said: list[str] = []
    absent = np.flatnonzero(images == 0)
    present = images[images > 0]
    if absent.size:
        shown = first_of([names[i] for i in absent], 5)
        said.append(
            f"{absent.size} of {images.size} classes have no image here ({shown}): nothing can "
            "be said about them, and they are left out of every ranking."
        )
    if present.min() < FEWEST_PER_CLASS:
        few = int((present < FEWEST_PER_CLASS).sum())
        said.append(
            f"{few} of {present.size} classes have fewer than {FEWEST_PER_CLASS} images (the smallest has "
            f"{present.min()}): their intervals are wide, and gains have none; 50 or more images per "
            "class rank far better."
        )
    if present.max() > 2 * present.min():
        said.append(
            f"The folder is not balanced ({present.min()} to {present.max()} images per class). Its "
            "frequencies are part of the model, so q is not distorted, but classes with few images "
            "are known less well. Accuracies below are means over classes, not over images."
        )
    return said

"""What one should deploy: accuracy against cost, and a choice by validation images.

The paper's own limit is cost (Section 6.3, Table 9): M models for one answer. Candidates are what the run
scored: single models, fusions of M, the ensemble of one model's seeds, students. A fusion costs the sum of
its members, which run one after the other.
"""

from collections.abc import Sequence
from typing import NamedTuple

from dualtail.paper.context import PaperContext
from dualtail.paper.evidence import percent, points
from dualtail.paper.lookup import Predictor, ScoreLookup, cost, over
from dualtail.paper.predictors import name_of, predictors_of
from dualtail.scores.bootstrap import Estimate
from dualtail.scores.metrics import NORMAL_HALF_WIDTH
from dualtail.scores.schema import SCHEME_GROUPS

KINDS = ("zero-shot", "tuned", "fused")
"""What may be deployed; adjusted outputs are of models tuned with CE, kNN needs a bank of images."""


class Candidate(NamedTuple):
    """One way to answer, and what it costs."""

    predictor: Predictor
    models: tuple[str, ...]
    """members that run for one answer, one after the other"""
    accuracy: Estimate
    """%, on the test split"""
    gflops: float
    """of one image"""
    images_per_second: float
    """as measured in the run"""
    validation: Estimate | None
    """accuracy on the validation split, % (its interval: 1.96 standard errors on either side)"""

    @property
    def judged(self) -> Estimate:
        """What it is chosen by: accuracy on validation images, or on test images where there are none."""
        return self.accuracy if self.validation is None else self.validation


class Recommendation(NamedTuple):
    """What to deploy on one dataset."""

    candidates: list[Candidate]
    chosen: Candidate
    best: Candidate
    """the most accurate on the images it is chosen by"""
    single: Candidate | None
    """the best single model that is tuned alike, if a single one is not chosen"""
    gain: Estimate | None
    """paired, of the chosen one over the single one, points"""


def candidates(lookup: ScoreLookup, dataset: str) -> list[Candidate]:
    """Return the candidates on a dataset, the cheapest first: of each kind and number of models the best.

    Best is by validation accuracy; by test accuracy where there are no validation images.
    """
    peft = lookup.context.first_peft
    best: dict[tuple, Candidate] = {}
    for predictor in predictors_of(lookup, dataset):
        if predictor.kind in KINDS and predictor.peft in ("", peft):
            found = _candidate(lookup, dataset, predictor)
            if found is not None:
                key = (*predictor._replace(members=""), len(found.models))
                if key not in best or found.judged.value > best[key].judged.value:
                    best[key] = found
    return sorted(best.values(), key=lambda c: (c.gflops, c.accuracy.value))


def front(found: Sequence[Candidate]) -> list[bool]:
    """Return which candidates are on the Pareto front: nothing is as cheap and more accurate."""
    return [
        not any(
            other.gflops <= one.gflops
            and other.accuracy.value >= one.accuracy.value
            and (other.gflops, other.accuracy.value) != (one.gflops, one.accuracy.value)
            for other in found
        )
        for one in found
    ]


def recommend(lookup: ScoreLookup, dataset: str) -> Recommendation | None:
    """Choose by the one-standard-error rule: the cheapest within one standard error of the best.

    Errors are of the validation accuracy; where there are no validation images, of test accuracy. None
    where no predictor has both an accuracy and a cost.
    """
    found = candidates(lookup, dataset)
    if not found:
        return None
    best = max(found, key=lambda c: c.judged.value)
    error = (best.judged.high - best.judged.low) / 2 / NORMAL_HALF_WIDTH
    # Without an interval (too few images) only an equal accuracy counts as equally good.
    least = best.judged.value - (error if error == error else 0.0)
    good = [c for c in found if c.judged.value >= least]
    chosen = min(good, key=lambda c: (c.gflops, -c.judged.value))
    singles = [c for c in found if len(c.models) == 1]
    alike = [c for c in singles if c.predictor.loss == chosen.predictor.loss]
    single = max(alike or singles, key=lambda c: c.judged.value, default=None)
    if single is None or single.predictor == chosen.predictor:
        return Recommendation(found, chosen, best, None, None)
    gain = lookup.find(dataset, over(chosen.predictor, single.predictor), "accuracy_gain")
    return Recommendation(found, chosen, best, single, gain)


def sentences(advice: Recommendation, context: PaperContext) -> list[str]:
    """Return what is recommended on a dataset, and how sure it is."""
    chosen, best = advice.chosen, advice.best
    where = "validation" if chosen.validation is not None else "test"
    # Without the measured speed: it differs from run to run.
    first = (
        f"Deploy **{name_of(chosen.predictor, context)}**: {percent(chosen.accuracy)} on test images, "
        f"{chosen.gflops:.3g} GFLOPs per image"
    )
    if chosen.predictor == best.predictor:
        first += f"; nothing cheaper comes within one standard error of it on {where} images."
    else:
        first += (
            f"; it is the cheapest within one standard error of the best on {where} images "
            f"({name_of(best.predictor, context)}, {percent(best.accuracy)} on test images)."
        )
    return [first, _how_sure(advice, context, where)]


def nine_group_worst(lookup: ScoreLookup, dataset: str, predictor: Predictor) -> Estimate | None:
    """Return the accuracy of the worst of the nine groups, without an interval: it is an extreme."""
    found = [lookup.find(dataset, predictor, group=group) for group in SCHEME_GROUPS["DxP"]]
    values = [number.value for number in found if number and number.value == number.value]
    return Estimate(min(values)) if values else None


def _how_sure(advice: Recommendation, context: PaperContext, where: str) -> str:
    chosen, single, gain = advice.chosen, advice.single, advice.gain
    told = (
        ""
        if where == "validation"
        else " There are no validation images: it was chosen by the test images, which flatters it."
    )
    if single is None:
        more = advice.best.accuracy.value - chosen.accuracy.value
        if advice.best.predictor == chosen.predictor:
            return f"It is one model: no fusion is better on {where} images.{told}"
        return (
            f"It is one model; what is {advice.best.gflops / chosen.gflops:.2g} times as costly brings "
            f"{more:+.1f} points on test images.{told}"
        )
    other = name_of(single.predictor, context)
    dearer = chosen.gflops / single.gflops
    price = f"at {dearer:.2g} times the cost" if dearer > 1.05 else "at the same cost"
    if gain is None:
        less = chosen.accuracy.value - single.accuracy.value
        return f"That is {less:+.1f} points against {other}, {price}.{told}"
    sure = "sure" if gain.low > 0 else "not sure: its interval holds zero"
    if gain.low != gain.low:
        sure = "not sure: too few images for an interval"
    return (
        f"Against {other} ({percent(single.accuracy)}) that is {points(gain)} "
        f"{price}; the gain is {sure}.{told}"
    )


def _candidate(lookup: ScoreLookup, dataset: str, predictor: Predictor) -> Candidate | None:
    """The candidate, or None where its accuracy or its cost is not known."""
    accuracy = lookup.find(dataset, predictor)
    models = tuple(predictor.members.split("+"))
    tunings = [cost(model, predictor.peft, predictor.loss) for model in models]
    gflops = lookup.costs(dataset, tunings, "gflops")
    speeds = lookup.costs(dataset, tunings, "images_per_second")
    if accuracy is None or accuracy.value != accuracy.value or not gflops or not speeds:
        return None
    return Candidate(
        predictor=predictor,
        models=models,
        accuracy=accuracy,
        gflops=sum(gflops),
        images_per_second=1 / sum(1 / speed for speed in speeds),
        validation=lookup.find(dataset, predictor, "validation_accuracy"),
    )

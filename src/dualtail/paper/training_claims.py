"""Claims on other ways of training, and on the features without their head; as in `claims`."""

from dualtail.bias.groups import D_GROUPS
from dualtail.errors import UserError
from dualtail.paper.evidence import Claim, Evidence, Verdict, percent, points, unresolved
from dualtail.paper.lookup import DECOUPLING, GLA_FIRST, GLA_TRAIN, Predictor, knn, over
from dualtail.scores.bootstrap import Estimate
from dualtail.scores.schema import SPREAD_GROUPS

D_SPREAD, P_SPREAD = SPREAD_GROUPS["D"], SPREAD_GROUPS["P"]
SAME_WITHIN = 1.0
"""Percentage points: two accuracies are called the same if they differ by less."""


def gla_train_is_la(at: Evidence) -> Claim:
    """GLA-Train with both stages is no better than LA (Table 3).

    Holds if the whole interval of the difference lies within one point; does not hold if all of it
    lies outside; else not resolved.
    """
    return _same_as_la(at, GLA_TRAIN, "GLA-Train")


def decoupling_is_la(at: Evidence) -> Claim:
    """CE with a head re-trained with LA is as good as LA throughout (Table 12).

    Holds if the whole interval of the difference lies within one point; does not hold if all of it
    lies outside; else not resolved.
    """
    return _same_as_la(at, DECOUPLING, "Decoupling")


def first_stage_is_in_the_head(at: Evidence) -> Claim:
    """What GLA-Train's first stage does to P-groups is gone with its head (Eq. 6).

    Both against LA. Not resolved if the interval of the first stage's change of the P-spread holds
    0. Else holds if that of both stages holds 0; in part if both stages keep less than half of the
    change; does not hold otherwise.
    """
    la = at.tuned("la")
    first, both = (
        at.get(over(at.tuned(loss), la), "spread_gain", P_SPREAD) for loss in (GLA_FIRST, GLA_TRAIN)
    )
    gain = at.get(over(at.tuned(GLA_FIRST), la), "accuracy_gain")
    sentences = [
        f"Against LA, the first stage alone changes the P-spread by {points(first)} and accuracy "
        f"by {points(gain)}; with the head re-trained the P-spread changes by {points(both)}."
    ]
    if unresolved(first, both) or first.low <= 0 <= first.high:
        return Claim("not resolved", sentences)
    if both.low <= 0 <= both.high:
        return Claim("holds", sentences)
    kept = both.value / first.value
    return Claim("in part" if kept < 0.5 else "does not hold", sentences)


def features_do_not_change(at: Evidence) -> Claim:
    """What LA repairs sits in the head; the features that CE and LA train are as good (Table 4).

    Looks at LA's change of the D-spread, with the head and with kNN on the features. Not resolved if
    the features are as before tuning: kNN with CE inside the interval of kNN without tuning. Else
    holds if the head's change is below 0 by its whole interval and that of kNN lies above it; does
    not hold if the interval of kNN's change lies below 0 and reaches the head's; else not resolved.
    """
    if at.dataset in at.context.without_val:
        raise UserError("there is no validation split to take kNN's neighbors from")
    ce, la = (knn(at.single, at.context.first_peft, loss) for loss in ("ce", "la"))
    head = at.get(over(at.tuned("la"), at.tuned("ce")), "spread_gain", D_SPREAD)
    features = at.get(over(la, ce), "spread_gain", D_SPREAD)
    sentences = [
        f"kNN on the features has an accuracy of {percent(at.get(ce))} with CE and {percent(at.get(la))} "
        f"with LA, a change of {points(at.get(over(la, ce), 'accuracy_gain'))}; by D-groups "
        f"{_by_group(at, ce)} with CE and {_by_group(at, la)} with LA.",
        f"LA changes the D-spread by {points(head)} with the head and by {points(features)} with "
        "kNN.",
    ]
    verdict: Verdict = "not resolved"
    untouched = _if_untouched(at)
    if untouched:
        sentences += untouched
    elif head.high < 0 and features.low > head.high:
        verdict = "holds"
    elif features.high < 0 and features.low <= head.high:
        verdict = "does not hold"
    return Claim(verdict, sentences)


def _same_as_la(at: Evidence, loss: str, name: str) -> Claim:
    other, la = at.tuned(loss), at.tuned("la")
    gain = at.get(over(other, la), "accuracy_gain")
    spreads = [at.get(over(other, la), "spread_gain", group) for group in (D_SPREAD, P_SPREAD)]
    sentences = [
        f"{name} has an accuracy of {percent(at.get(other))}, LA {percent(at.get(la))}: "
        f"{points(gain)}. Against LA its D-spread changes by {points(spreads[0])}, its P-spread by "
        f"{points(spreads[1])}."
    ]
    return Claim(_within(gain), sentences + _if_untouched(at))


def _if_untouched(at: Evidence) -> list[str]:
    """Return a sentence if kNN with CE lies inside the interval of kNN before tuning."""
    before, after = (
        at.lookup.find(at.dataset, model)
        for model in (knn(at.single), knn(at.single, at.context.first_peft, "ce"))
    )
    if before is None or after is None or not before.low <= after.value <= before.high:
        return []
    return [
        f"kNN on the features has an accuracy of {percent(before)} before tuning and {percent(after)} "
        "with CE: tuning hardly changes the features here, so that little but the head can differ."
    ]


def _within(gain: Estimate) -> Verdict:
    if gain.low > -SAME_WITHIN and gain.high < SAME_WITHIN:
        return "holds"
    return "does not hold" if gain.low > SAME_WITHIN or gain.high < -SAME_WITHIN else "not resolved"


def _by_group(at: Evidence, predictor: Predictor) -> str:
    values = ", ".join(f"{at.get(predictor, group=group).value:.1f}" for group in D_GROUPS)
    return f"{values} %"

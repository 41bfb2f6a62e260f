"""Verdicts follow from intervals by the stated rules."""

from dataclasses import replace

import pandas as pd
import pytest

from dualtail.errors import UserError
from dualtail.paper import claims
from dualtail.paper.context import PaperContext
from dualtail.paper.evidence import Evidence, percent, points
from dualtail.paper.lookup import ScoreLookup
from dualtail.scores.bootstrap import Estimate
from dualtail.scores.schema import as_frame

CONTEXT = PaperContext(
    run="r",
    datasets={"d": "D"},
    members={"a": "A", "b": "B"},
    pefts={"p": "P"},
)
GROUPS = {
    "all": ["Overall"],
    "D": ["D-Many", "D-Medium", "D-Few"],
    "P": ["P-Many", "P-Medium", "P-Few"],
}


def rows(who, metric, scheme, group, value, half):
    kind, members, loss, adjustment, fusion = who
    return {
        "run": "r",
        "dataset": "d",
        "kind": kind,
        "members": members,
        "peft": "p|" if loss == "la|" else "p" if loss else "",
        "loss": loss,
        "adjustment": adjustment,
        "fusion": fusion,
        "seed": 0 if loss else None,
        "split": "test",
        "scheme": scheme,
        "group": group,
        "metric": metric,
        "n_classes": 9,
        "value": value,
        "ci_low": value - half,
        "ci_high": value + half,
    }


OTHERS = ("gla_train", "gla_first", "decoupling")


def everyone():
    found = []
    for m in "ab":
        found += [
            ("zero-shot", m, "", "", ""),
            ("tuned", m, "ce", "", ""),
            ("tuned", m, "la", "", ""),
            ("knn", m, "", "", ""),
            ("knn", m, "ce", "", ""),
            ("knn", m, "la", "", ""),
            *(("tuned", m, loss, "", "") for loss in OTHERS),
        ]
        found += [("adjusted", m, "ce", a, "") for a in ("gla", "gla-zs", "gla-ft")]
    found += [("fused", "a+b", "la", "", mode) for mode in ("logits", "probabilities")]
    return found


def pairs():
    found = [(kind, m, "la|ce", "", "") for m in "ab" for kind in ("tuned", "knn")]
    found += [("tuned", m, f"{loss}|la", "", "") for m in "ab" for loss in OTHERS]
    found += [("adjusted", m, "ce|la", "gla|", "") for m in "ab"]
    found += [("fused", f"a+b|{m}", "la", "", mode) for m in "ab" for mode in ("logits",)]
    return found


def evidence(changes=None, half=2.0):
    """A run in which every accuracy is 50 and every difference 0, but for `changes`.

    Half a NaN is an interval that is not there.
    """
    changes = changes or {}
    table = []

    def add(who, metric, scheme, group, value):
        key = (who[0], who[1], who[2], who[3], metric, group)
        table.append(rows(who, metric, scheme, group, changes.get(key, value), half))

    for who in everyone():
        for scheme, groups in GROUPS.items():
            for group in groups:
                add(who, "accuracy", scheme, group, 50.0)
        add(who, "spread", "D", claims.D_SPREAD, 0.0)
        add(who, "spread", "P", claims.P_SPREAD, 0.0)
    for who in pairs():
        for scheme, groups in GROUPS.items():
            for group in groups:
                add(who, "accuracy_gain", scheme, group, 0.0)
        add(who, "spread_gain", "D", claims.D_SPREAD, 0.0)
        add(who, "spread_gain", "P", claims.P_SPREAD, 0.0)
    for kind, loss in (("zero-shot", ""), ("tuned", "ce"), ("tuned", "la")):
        for metric in ("average_gap", "gap_without_noise"):
            add((kind, "a|b", loss, "", ""), metric, "all", "Overall", 10.0)
    add(("tuned", "a|b", "la|", "", ""), "squared_gap_change", "all", "Overall", 0.0)
    return Evidence(ScoreLookup(as_frame(table), CONTEXT), "d")


D, P = claims.D_SPREAD, claims.P_SPREAD
ZS = ("zero-shot", "a", "", "")
CE, LA = ("tuned", "a", "ce", ""), ("tuned", "a", "la", "")
LA_CE, GLA = ("tuned", "a", "la|ce", ""), ("adjusted", "a", "ce", "gla")


def tail_gain(spreads, few):
    """The fusion's gain on both Few groups, and its change of the spreads Many minus Few."""
    pair = ("fused", "a+b|a", "la", "")
    return {(*pair, "spread_gain", group): value for group, value in spreads.items()} | {
        (*pair, "accuracy_gain", group): few for group in ("D-Few", "P-Few")
    }


KNN_LA_CE = ("knn", "a", "la|ce", "")


def step(gains):
    """The gain of both models fused over each."""
    return {
        ("fused", f"a+b|{m}", "la", "", "accuracy_gain", "Overall"): v for m, v in gains.items()
    }


def against_la(loss, gain):
    return {("tuned", "a", f"{loss}|la", "", "accuracy_gain", "Overall"): gain}


def stages(first, both):
    """Changes of the P-spread against LA."""
    return {
        ("tuned", "a", "gla_first|la", "", "spread_gain", P): first,
        ("tuned", "a", "gla_train|la", "", "spread_gain", P): both,
    }


def features(untuned, change):
    """kNN before tuning, and LA's change of its D-spread, where the head's change is -9."""
    return {
        ("knn", "a", "", "", "accuracy", "Overall"): untuned,
        (*LA_CE, "spread_gain", D): -9,
        (*KNN_LA_CE, "spread_gain", D): change,
    }


NO, UNCLEAR = "does not hold", "not resolved"
SQUARED = ("tuned", "a|b", "la|", "", "squared_gap_change", "Overall")
CASES = [
    (claims.zero_shot_bias, {}, "does not hold"),
    (claims.zero_shot_bias, {(*ZS, "spread", P): 30}, "holds"),
    (claims.zero_shot_bias, {(*ZS, "spread", P): 30, (*ZS, "spread", D): 40}, "in part"),
    (claims.zero_shot_bias, {(*ZS, "spread", P): 30, (*ZS, "spread", D): -40}, "in part"),
    (claims.zero_shot_bias, {(*ZS, "spread", P): -30}, "does not hold"),
    # Values alone would say otherwise: half an interval is 2.
    (claims.zero_shot_bias, {(*ZS, "spread", P): 1.9}, "does not hold"),
    (claims.zero_shot_bias, {(*ZS, "spread", P): 30, (*ZS, "spread", D): 26.1}, "in part"),
    (claims.zero_shot_bias, {(*ZS, "spread", P): 30, (*ZS, "spread", D): 25.9}, "holds"),
    (claims.la_repairs_data, {(*CE, "spread", D): 1.9, (*LA_CE, "spread_gain", D): -9}, UNCLEAR),
    (claims.la_repairs_data, {(*CE, "spread", D): 9, (*LA_CE, "spread_gain", D): -1.9}, UNCLEAR),
    (claims.la_repairs_data, {(*LA_CE, "spread_gain", D): 1.9}, UNCLEAR),
    (
        claims.la_leaves_parameters,
        {(*CE, "spread", P): 3, (*LA, "spread", P): 1.9},
        "does not hold",
    ),
    (claims.fusion_helps, step({"a": 1.9, "b": 1.9}), "does not hold"),
    (claims.fusion_helps, step({"a": 2.1, "b": 1.9}), "in part"),
    (claims.every_member_adds, step({"a": 1.9, "b": 1.9}), "does not hold"),
    (claims.fusion_helps_the_tail, tail_gain({D: -9, P: -9}, few=1.9), UNCLEAR),
    (claims.fusion_helps_the_tail, tail_gain({D: -1.9, P: -1.9}, few=9), UNCLEAR),
    (claims.fusion_helps_the_tail, tail_gain({D: 1.9, P: 1.9}, few=9), UNCLEAR),
    (claims.gla_train_is_la, against_la("gla_train", 2.9), UNCLEAR),
    (claims.gaps_shrink, {SQUARED: -1.9}, UNCLEAR),
    (claims.gaps_shrink, {SQUARED: 1.9}, UNCLEAR),
    (claims.la_repairs_data, {}, "not resolved"),
    (claims.la_repairs_data, {(*CE, "spread", D): 30, (*LA_CE, "spread_gain", D): -30}, "holds"),
    (
        claims.la_repairs_data,
        {(*CE, "spread", D): 30, (*LA_CE, "spread_gain", D): 5},
        "does not hold",
    ),
    (claims.la_leaves_parameters, {(*CE, "spread", P): 30}, "does not hold"),
    (
        claims.la_leaves_parameters,
        {(*CE, "spread", P): 30, (*LA, "spread", P): 29, (*CE, "spread", D): 30},
        "holds",
    ),
    (
        claims.la_leaves_parameters,
        {
            (*CE, "spread", P): 30,
            (*LA, "spread", P): 10,
            (*CE, "spread", D): 30,
            (*LA, "spread", D): 28,
        },
        "in part",
    ),
    (claims.gla_after_tuning, {(*GLA, "spread", P): 1.9}, "does not hold"),
    (claims.gla_after_tuning, {(*GLA, "spread", P): 2.1}, "holds"),
    (claims.fusion_helps, {}, "does not hold"),
    (claims.fusion_helps, {("fused", "a+b|a", "la", "", "accuracy_gain", "Overall"): 9}, "in part"),
    (
        claims.fusion_helps,
        {("fused", f"a+b|{m}", "la", "", "accuracy_gain", "Overall"): 9 for m in "ab"},
        "holds",
    ),
    (claims.fusion_helps_the_tail, {}, "not resolved"),
    (claims.fusion_helps_the_tail, tail_gain({D: -9, P: -9}, few=9), "holds"),
    (claims.fusion_helps_the_tail, tail_gain({D: -9, P: 9}, few=9), "in part"),
    (claims.fusion_helps_the_tail, tail_gain({D: -9, P: -9}, few=0), "not resolved"),
    (claims.fusion_helps_the_tail, tail_gain({D: 9, P: 0}, few=9), "does not hold"),
    (claims.every_member_adds, {}, "does not hold"),
    (claims.every_member_adds, step({"a": 2.5, "b": 2.5}), "holds"),
    (claims.every_member_adds, step({"a": 9, "b": -4}), "holds"),  # the mean, 2.5, is resolved
    (claims.every_member_adds, step({"a": 4, "b": -4}), "does not hold"),
    (claims.gla_train_is_la, {}, "not resolved"),
    (claims.gla_train_is_la, against_la("gla_train", 3.5), "does not hold"),
    (claims.gla_train_is_la, against_la("gla_train", -3.5), "does not hold"),
    (claims.decoupling_is_la, against_la("decoupling", 2.5), "not resolved"),
    (claims.decoupling_is_la, against_la("decoupling", -3.1), "does not hold"),
    (claims.first_stage_is_in_the_head, {}, "not resolved"),
    (claims.first_stage_is_in_the_head, stages(-9, 1.9), "holds"),
    (claims.first_stage_is_in_the_head, stages(-9, -4), "in part"),
    (claims.first_stage_is_in_the_head, stages(-9, -5), "does not hold"),
    (claims.first_stage_is_in_the_head, stages(1.9, -9), "not resolved"),
    (claims.features_do_not_change, {}, "not resolved"),
    (claims.features_do_not_change, {(*LA_CE, "spread_gain", D): -9}, "not resolved"),
    (claims.features_do_not_change, features(47.9, 0), "holds"),
    (claims.features_do_not_change, features(48.1, 0), "not resolved"),
    (claims.features_do_not_change, features(40, -8), "does not hold"),
    (claims.features_do_not_change, features(40, -4.5), "holds"),
    (claims.features_do_not_change, features(40, -4.5) | {(*LA_CE, "spread_gain", D): -1}, NO),
    (claims.gaps_shrink, {}, "not resolved"),
    # Eq. 5's gap falls, but not by more than its noise.
    (claims.gaps_shrink, {("tuned", "a|b", "la", "", "average_gap", "Overall"): 3}, "not resolved"),
    (claims.gaps_shrink, {SQUARED: -2.1}, "holds"),
    (claims.gaps_shrink, {SQUARED: 2.1}, "does not hold"),
]


@pytest.mark.parametrize(("judge", "changes", "verdict"), CASES)
def test_verdicts(judge, changes, verdict):
    claim = judge(evidence(changes))
    assert claim.verdict == verdict
    assert all(sentence.endswith(".") and "nan" not in sentence for sentence in claim.sentences)


@pytest.mark.parametrize("judge", [judge for _, _, judge in claims.CLAIMS])
def test_without_intervals_nothing_is_resolved(judge):
    holding = {(*ZS, "spread", P): 30, (*GLA, "spread", P): 30, SQUARED: -30}
    holding |= step({"a": 9, "b": 9}) | tail_gain({D: -9, P: -9}, few=9) | stages(-9, 0)
    holding |= {(*CE, "spread", P): 30, (*LA, "spread", P): 30, (*LA_CE, "spread_gain", D): -9}
    claim = judge(evidence(holding, half=float("nan")))
    assert claim.verdict == "not resolved"
    assert not any("nan" in sentence for sentence in claim.sentences)


EMPTY = {
    "spread": [D, P],
    "spread_gain": [D, P],
    "accuracy": ["D-Few", "P-Few"],
    "accuracy_gain": ["D-Few", "P-Few"],
}


def test_an_empty_group_is_not_run():
    """Not `in part`, and no `+nan points`."""
    table = evidence().lookup.scores
    for metric, groups in EMPTY.items():
        empty = (table["metric"] == metric) & table["group"].isin(groups)
        table.loc[empty, ["value", "ci_low", "ci_high"]] = float("nan")
        table.loc[empty, "n_classes"] = 0
    found = claims.judge_all(ScoreLookup(table, CONTEXT))
    text = str(found)
    assert "nan" not in text
    for judge in (claims.zero_shot_bias, claims.fusion_helps_the_tail, claims.la_repairs_data):
        title = next(title for title, _, one in claims.CLAIMS if one is judge)
        assert found[title, "d"].verdict == "not run"
        assert "no class with test images is in" in found[title, "d"].sentences[0]
        assert "scores.few" in found[title, "d"].sentences[0]


def test_no_verdict_rests_on_a_prior_that_is_not_known():
    table = evidence({(*ZS, "spread", P): 30}).lookup.scores
    judged = []
    for factor in (3, 40):
        q = pd.Series([0.3, 0.7])
        prior = pd.DataFrame({"class_name": ["x", "y"], "q": q, "ci_low": q / factor, "ci_high": q})
        context = replace(CONTEXT, priors={("d", "a"): prior})
        judged.append(claims.judge_all(ScoreLookup(table, context)))
    sure, unsure = judged
    changed = [title for title, dataset in sure if sure[title, dataset] != unsure[title, dataset]]
    assert len(changed) == len(claims.RESTS_ON_Q)
    assert sure[claims.CLAIMS[0][0], "d"].verdict == "holds"
    for title in changed:
        assert unsure[title, "d"].verdict == "not resolved"
        says, cure = unsure[title, "d"].sentences[:2]
        assert "A's q is known within a factor of 40 only" in says
        assert "prior.split" in cure


def test_sameness_needs_a_narrow_interval():
    for gain, verdict in ((0.5, "holds"), (0.6, "not resolved")):
        near = evidence(against_la("decoupling", gain), half=0.49)
        assert claims.decoupling_is_la(near).verdict == verdict


def test_features_that_tuning_does_not_change_are_mentioned():
    same, changed = evidence(), evidence(features(40, 0))
    for judge in (claims.gla_train_is_la, claims.decoupling_is_la, claims.features_do_not_change):
        assert "tuning hardly changes the features here" in judge(same).sentences[-1]
        assert not any("hardly" in sentence for sentence in judge(changed).sentences)


def test_what_was_not_run_is_said_for_each_claim():
    at = evidence()
    found = claims.judge_all(at.lookup)
    assert all(claim.verdict != "not run" for claim in found.values())
    nothing = claims.judge_all(ScoreLookup(as_frame([]), CONTEXT))
    assert all("make these outputs and score them" in why.sentences[0] for why in nothing.values())
    assert claims.verdict_table(nothing, CONTEXT) == (
        "Claims 1 to 12 are about outputs that this run did not make."
    )
    part = {
        key: found[key] if key[0] in (claims.CLAIMS[0][0], claims.CLAIMS[4][0]) else nothing[key]
        for key in found
    }
    lines = claims.verdict_table(part, CONTEXT).splitlines()
    assert [line.split()[1] for line in lines[2:4]] == ["1.", "5."]
    assert lines[-1].startswith("Claims 2 to 4 and 6 to 12 are about")
    assert sum(map(len, claims.not_run(part, CONTEXT).values())) == 10


def test_the_tail_gain_is_the_negative_change_of_the_spread():
    changes = {("fused", "a+b|a", "la", "", "spread_gain", D): -9.0}
    text = claims.fusion_helps_the_tail(evidence(changes)).sentences[0]
    assert "D-Few gains +9.0 points [+7.0, +11.0] more than D-Many" in text


def test_losses_of_groups_are_listed():
    found = evidence({("tuned", "a", "la|ce", "", "accuracy_gain", "Overall"): 4.0})
    text = " ".join(claims.la_leaves_parameters(found).sentences)
    assert "changes accuracy by +4.0 points [+2.0, +6.0]; none of the nine groups loses" in text


def test_numbers_in_words():
    assert percent(Estimate(61.04, 59.4, 62.6)) == "61.0 % [59.4, 62.6]"
    assert points(Estimate(-7.9, -9.7, 0.0)) == "−7.9 points [−9.7, +0.0]"
    assert percent(Estimate(5.0)) == "5.0 %"


def test_a_single_member_cannot_be_fused():
    alone = PaperContext(run="r", datasets={"d": "D"}, members={"a": "A"}, pefts={"p": "P"})
    found = Evidence(ScoreLookup(as_frame([]), alone), "d")
    for judge in (claims.fusion_helps, claims.fusion_helps_the_tail, claims.gaps_shrink):
        with pytest.raises(UserError, match="single foundation model"):
            judge(found)

"""The claims of the paper, judged on the numbers of a run.

Each function looks at one dataset and returns a `Claim`: a verdict that follows from 95 % intervals
by a rule stated in its docstring, and sentences with the numbers. Nothing is judged by eye. Without an
interval that the rule needs the verdict is `not resolved`; without outputs or classes, `not run`.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence

from dualtail.bias.groups import D_GROUPS, P_GROUPS
from dualtail.errors import UserError
from dualtail.paper.context import PaperContext
from dualtail.paper.evidence import (
    NOT_RUN,
    Claim,
    Evidence,
    Verdict,
    listed,
    percent,
    points,
    signed,
    unresolved,
    verdict_of,
)
from dualtail.paper.layout import markdown_table
from dualtail.paper.lookup import ScoreLookup, gla_methods, mean_estimate, over, zero_shot
from dualtail.paper.thin_data import prior_lacks
from dualtail.paper.training_claims import (
    decoupling_is_la,
    features_do_not_change,
    first_stage_is_in_the_head,
    gla_train_is_la,
)
from dualtail.scores.bootstrap import Estimate
from dualtail.scores.schema import SPREAD_GROUPS

D_SPREAD, P_SPREAD = SPREAD_GROUPS["D"], SPREAD_GROUPS["P"]


def zero_shot_bias(at: Evidence) -> Claim:
    """Zero-shot accuracy falls along P-groups, not along D-groups (Table 1, Fig. 3).

    Holds if the whole interval of the P-spread (P-Many minus P-Few) is above 0 and above the
    interval of the size of the D-spread; does not hold if the P-spread's interval reaches 0.
    """
    model = zero_shot(at.single)
    d, p = at.get(model, "spread", D_SPREAD), at.get(model, "spread", P_SPREAD)
    groups = [
        ", ".join(f"{at.get(model, group=g).value:.1f}" for g in gs) for gs in (D_GROUPS, P_GROUPS)
    ]
    others = [
        f"{at.context.members[m]} {signed(at.get(zero_shot(m), 'spread', D_SPREAD).value)} and "
        f"{signed(at.get(zero_shot(m), 'spread', P_SPREAD).value)}"
        for m in at.context.members
        if m != at.single
    ]
    sentences = [
        f"{at.single_label} alone, before any tuning, has an accuracy of {percent(at.get(model))}. "
        f"By D-groups (Many, Medium, Few) it is {groups[0]} %, a spread of {points(d)}; "
        f"by P-groups {groups[1]} %, a spread of {points(p)}."
    ]
    if others:
        sentences.append(
            f"The other models' spreads over D and over {at.single_label}'s P-groups: "
            f"{'; '.join(others)} points."
        )
    if unresolved(p, d):
        return Claim("not resolved", sentences)
    if p.low <= 0:
        return Claim("does not hold", sentences)
    flat = max(abs(d.low), abs(d.high)) < p.low
    return Claim("holds" if flat else "in part", sentences)


def la_repairs_data(at: Evidence) -> Claim:
    """LA removes the spread over D-groups that CE leaves (Fig. 2, 3).

    Holds if the D-spread is above 0 with CE and LA lowers it, both by the whole interval; does not
    hold if LA raises it; not resolved otherwise.
    """
    before, after, change = _spreads(at, D_SPREAD)
    sentences = [_spread_sentence("D", before, after, change, at)]
    if before.low > 0 and change.high < 0:
        return Claim("holds", sentences)
    return Claim("does not hold" if change.low > 0 else "not resolved", sentences)


def la_leaves_parameters(at: Evidence) -> Claim:
    """LA does not remove the spread over P-groups (Fig. 2, 3).

    Holds if the P-spread with LA is above 0 by its whole interval and LA removes a smaller share
    of it than of the D-spread; in part if only the first; does not hold otherwise.
    """
    before, after, change = _spreads(at, P_SPREAD)
    d_before, d_after, _ = _spreads(at, D_SPREAD)
    pair = over(at.tuned("la"), at.tuned("ce"))
    sentences = [_spread_sentence("P", before, after, change, at)]
    lost = [
        f"{d}/{p} ({points(gain)})"
        for d in D_GROUPS
        for p in P_GROUPS
        for gain in [at.lookup.find(at.dataset, pair, "accuracy_gain", f"{d}/{p}")]
        if gain is not None and gain.high < 0
    ]
    gains = at.get(pair, "accuracy_gain")
    sentences.append(
        f"Overall LA changes accuracy by {points(gains)}; "
        + (
            f"it loses in {listed(lost)}."
            if lost
            else "none of the nine groups loses significantly."
        )
    )
    if unresolved(after):
        return Claim("not resolved", sentences)
    if after.low <= 0:
        return Claim("does not hold", sentences)
    share = after.value / before.value if before.value > 0 else float("inf")
    d_share = abs(d_after.value) / d_before.value if d_before.value > 0 else float("inf")
    return Claim("holds" if share > d_share else "in part", sentences)


def gla_after_tuning(at: Evidence) -> Claim:
    """Adjusting by q does not remove the tuned model's spread over P-groups (Table 3).

    Holds if GLA's P-spread is above 0 by its whole interval; does not hold if it reaches 0.
    """
    methods = gla_methods(at.single, at.context.first_peft)
    la = at.tuned("la")
    gla = methods["GLA"]
    numbers = ", ".join(f"{name} {percent(at.get(p))}" for name, p in methods.items())
    gain = at.get(over(gla, la), "accuracy_gain")
    spread, change = (
        at.get(gla, "spread", P_SPREAD),
        at.get(over(gla, la), "spread_gain", P_SPREAD),
    )
    halves = [at.get(p, "spread", P_SPREAD) for p in (zero_shot(at.single), methods["GLA-ZS"])]
    word = "beats" if gain.low > 0 else "loses to" if gain.high < 0 else "cannot be told from"
    sentences = [
        f"{numbers}; LA has {percent(at.get(la))}. GLA {word} LA ({points(gain)}).",
        f"Dividing by q takes the zero-shot P-spread from {points(halves[0])} to "
        f"{points(halves[1])}. After tuning, GLA's P-spread is {points(spread)}, "
        f"{points(change)} against LA.",
    ]
    if unresolved(spread):
        return Claim("not resolved", sentences)
    return Claim("holds" if spread.low > 0 else "does not hold", sentences)


def fusion_helps(at: Evidence) -> Claim:
    """Fusing all models beats each of them (Table 8).

    By logits, the paper's way. Holds if the gain over every member is above 0 by its whole
    interval; in part if over some; does not hold if over none.
    """
    members = at.members()
    parts = []
    for size in range(1, len(members) + 1):
        subsets = [s for s in at.context.subsets() if len(s) == size]
        if not subsets:
            continue
        means = []
        for mode in ("logits", "probabilities"):
            values = [at.get(at.fused(s, mode)).value for s in subsets]
            means.append(sum(values) / len(values))
        shown = f"{means[0]:.1f} %" if size == 1 else f"{means[0]:.1f} % ({means[1]:.1f} %)"
        parts.append(f"M = {size}: {shown}")
    whole = {mode: at.fused(members, mode) for mode in ("logits", "probabilities")}
    gains = {m: at.get(over(whole["logits"], at.tuned("la", m)), "accuracy_gain") for m in members}
    over_each = listed(
        [f"{points(gain)} over {at.context.members[m]}" for m, gain in gains.items()]
    )
    sentences = [
        "Mean accuracy over the sets of M models tuned with LA, fused by logits (in brackets by "
        f"probabilities): {'; '.join(parts)}.",
        f"All together they reach {percent(at.get(whole['logits']))} by logits and "
        f"{percent(at.get(whole['probabilities']))} by probabilities; by logits that is {over_each}.",
    ]
    return Claim(verdict_of(list(gains.values())), sentences)


def every_member_adds(at: Evidence) -> Claim:
    """One model less than two, two less than three (Table 8).

    By logits. For each M, the gain of M models over every M - 1 of them, averaged over all these
    pairs; the ends of its interval are the averages of theirs, which is wider than the interval of
    the average. Holds if it lies above 0 for each M; in part if for some; does not hold if it
    reaches above 0 for none.
    """
    members = at.members()
    subsets = at.context.subsets()
    steps = []
    for size in range(2, len(members) + 1):
        gains = [
            at.get(over(at.fused(more), at.fused(less)), "accuracy_gain")
            for more in subsets
            for less in subsets
            if len(more) == size and len(less) == size - 1 and set(less) < set(more)
        ]
        if gains:
            steps.append((size, mean_estimate(gains)))
    sentences = [
        "Mean gain of one more model: "
        + "; ".join(f"from M = {size - 1} to {size} {points(gain)}" for size, gain in steps)
        + "."
    ]
    return Claim(verdict_of([gain for _, gain in steps]), sentences)


def fusion_helps_the_tail(at: Evidence) -> Claim:
    """The fusion gains most on the groups with the least data or the lowest prior (Fig. 6).

    A tail (D-Few, P-Few) is helped most if the gain over the single model is above 0 there and
    larger than on its head (D-Many, P-Many), both by the whole interval. Holds if that is so for
    both tails; in part if for one; does not hold if a head gains more than its tail by the whole
    interval; else not resolved.
    """
    members = at.members()
    pair = over(at.fused(members), at.tuned("la"))
    sentences, helped, heads, thin = [], [], [], False
    for scheme, groups, spread in (("D", D_GROUPS, D_SPREAD), ("P", P_GROUPS, P_SPREAD)):
        gains = [at.get(pair, "accuracy_gain", group) for group in groups]
        # The change of the spread Many minus Few is the gain on Many minus the gain on Few.
        change = at.get(pair, "spread_gain", spread)
        tail = Estimate(-change.value, -change.high, -change.low)
        helped.append(gains[-1].low > 0 and tail.low > 0)
        heads.append(tail.high < 0)
        thin |= unresolved(gains[-1], tail)
        numbers = ", ".join(f"{g} {signed(c.value)}" for g, c in zip(groups, gains, strict=True))
        sentences.append(
            f"Gain over {at.single_label} by {scheme}-groups: {numbers} points; {scheme}-Few gains "
            f"{points(tail)} more than {scheme}-Many."
        )
    if thin:
        return Claim("not resolved", sentences)
    if any(helped):
        return Claim("holds" if all(helped) else "in part", sentences)
    return Claim("does not hold" if any(heads) else "not resolved", sentences)


def gaps_shrink(at: Evidence) -> Claim:
    """Tuning brings foundation models closer, class by class (Table 2, Eq. 5).

    Judged by the squared gap without noise: Eq. 5 itself falls wherever accuracy rises, as test
    sampling alone parts two models less. Its paired change from zero-shot to LA lies below 0 by the
    whole interval for every pair: holds; for some: in part; for none, and above 0 for one: does not
    hold; else not resolved.
    """
    numbers, changes = [], []
    for one, two in itertools.combinations(at.members(), 2):
        zero, la = (
            over(zero_shot(one), zero_shot(two)),
            over(at.tuned("la", one), at.tuned("la", two)),
        )
        plug_in = [at.get(gap, "average_gap").value for gap in (zero, la)]
        true = [at.get(gap, "gap_without_noise") for gap in (zero, la)]
        changes.append(at.get(over(la, zero), "squared_gap_change"))
        numbers.append(
            f"{at.context.members_label(f'{one}|{two}')} {plug_in[0]:.1f} and {plug_in[1]:.1f} points, "
            f"without noise {_unsigned(true[0])} and {_unsigned(true[1])}, a change of the square by "
            f"{_squared(changes[-1])}"
        )
    sentences = [
        "Gap between class accuracies zero-shot and with LA, as Eq. 5 has it (noise of the test images "
        f"included) and as root mean square without noise: {'; '.join(numbers)}."
    ]
    return Claim(_closer(changes), sentences)


def _closer(changes: Sequence[Estimate]) -> Verdict:
    if unresolved(*changes):
        return "not resolved"
    closer = [change.high < 0 for change in changes]
    if any(closer):
        return "holds" if all(closer) else "in part"
    return "does not hold" if any(change.low > 0 for change in changes) else "not resolved"


def _unsigned(gap: Estimate) -> str:
    return percent(gap).replace(" %", "")


def _squared(change: Estimate) -> str:
    return points(change).replace("points", "squared points")


CLAIMS: Sequence[tuple[str, str, Callable[[Evidence], Claim]]] = (
    (
        "Zero-shot models suffer from parameter imbalance, not from data imbalance",
        "[Table 1](tables/table_01.md), [Figure 3](figures/figure_03.png)",
        zero_shot_bias,
    ),
    (
        "LA repairs data imbalance",
        "[Figure 2](figures/figure_02.png), [Figure 3](figures/figure_03.png)",
        la_repairs_data,
    ),
    (
        "LA does not repair parameter imbalance",
        "[Figure 2](figures/figure_02.png), [Figure 3](figures/figure_03.png)",
        la_leaves_parameters,
    ),
    (
        "Adjusting by q does not repair it after tuning either",
        "[Table 3](tables/table_03.md)",
        gla_after_tuning,
    ),
    (
        "Fusing foundation models beats each of them",
        "[Table 8](tables/table_08.md), cost in [Table 9](tables/table_09.md)",
        fusion_helps,
    ),
    (
        "Every further model adds to the fusion",
        "[Table 8](tables/table_08.md)",
        every_member_adds,
    ),
    (
        "The fusion helps the tails most",
        "[Figure 6](figures/figure_06.png)",
        fusion_helps_the_tail,
    ),
    (
        "Tuning brings the models' class accuracies together",
        "[Table 2](tables/table_02.md)",
        gaps_shrink,
    ),
    (
        "GLA-Train is no better than LA",
        "[Table 3](tables/table_03.md)",
        gla_train_is_la,
    ),
    (
        "The effect of GLA-Train's first stage sits in the head that is thrown away",
        "[Table 3](tables/table_03.md)",
        first_stage_is_in_the_head,
    ),
    (
        "Decoupling is as good as LA",
        "[Table 12](tables/table_12.md)",
        decoupling_is_la,
    ),
    (
        "What LA repairs sits in the head, not in the features",
        "[Table 4](tables/table_04.md)",
        features_do_not_change,
    ),
)
"""Claim, where its numbers are shown, how it is judged."""


RESTS_ON_Q = (
    zero_shot_bias,
    la_leaves_parameters,
    gla_after_tuning,
    fusion_helps_the_tail,
    gla_train_is_la,
    first_stage_is_in_the_head,
)
"""Claims on P-groups, or on what is adjusted by q."""


def judge_all(lookup: ScoreLookup) -> dict[tuple[str, str], Claim]:
    """Judge every claim on every dataset: (title, dataset) -> claim.

    What rests on a q that is hardly known (`thin_data`) is not resolved.
    """
    found: dict[tuple[str, str], Claim] = {}
    for title, _, judge in CLAIMS:
        for dataset in lookup.context.datasets:
            try:
                claim = judge(Evidence(lookup, dataset))
            except UserError as error:
                found[title, dataset] = Claim(NOT_RUN, [str(error)])
                continue
            thin = [lack for lack in prior_lacks(lookup.context, dataset) if lack.spoils_q]
            if thin and judge in RESTS_ON_Q:
                why = [text for lack in thin for text in (lack.says, lack.cure)]
                claim = Claim("not resolved", [*dict.fromkeys(why), *claim.sentences])
            found[title, dataset] = claim
    return found


def verdict_table(judged: Mapping[tuple[str, str], Claim], context: PaperContext) -> str:
    """Return a Markdown table with one row per claim that was judged, and a line on the others."""
    absent = sorted(number for numbers in not_run(judged, context).values() for number in numbers)
    body = []
    for number, (title, _, _) in enumerate(CLAIMS, start=1):
        if number not in absent:
            verdicts = [judged[title, dataset].verdict for dataset in context.datasets]
            body.append([f"{number}. {title}", *verdicts])
    header = ["Claim", *context.datasets.values()]
    parts = [markdown_table(header, body, n_left=len(header))] if body else []
    if absent:
        what = f"Claim {absent[0]} is" if len(absent) == 1 else f"Claims {_ranges(absent)} are"
        parts.append(f"{what} about outputs that this run did not make.")
    return "\n\n".join(parts)


def not_run(judged: Mapping[tuple[str, str], Claim], context: PaperContext) -> dict[str, list[int]]:
    """Return why claims were judged on no dataset: a reason -> the numbers of the claims."""
    reasons: dict[str, list[int]] = {}
    for number, (title, _, _) in enumerate(CLAIMS, start=1):
        found = [judged[title, dataset] for dataset in context.datasets]
        if all(claim.verdict == NOT_RUN for claim in found):
            reasons.setdefault(found[0].sentences[0], []).append(number)
    return reasons


def _ranges(numbers: Sequence[int]) -> str:
    """`2 to 4 and 7` of 2, 3, 4, 7."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return listed([f"{r[0]} to {r[-1]}" if len(r) > 2 else listed(list(map(str, r))) for r in runs])


def _spreads(at: Evidence, group: str) -> tuple[Estimate, Estimate, Estimate]:
    """Return the spread with CE, with LA, and the paired change."""
    ce, la = at.tuned("ce"), at.tuned("la")
    return (
        at.get(ce, "spread", group),
        at.get(la, "spread", group),
        at.get(over(la, ce), "spread_gain", group),
    )


def _spread_sentence(
    scheme: str, before: Estimate, after: Estimate, change: Estimate, at: Evidence
) -> str:
    return (
        f"{at.single_label}'s accuracy on {scheme}-Many minus that on {scheme}-Few is "
        f"{points(before)} with CE and {points(after)} with LA, a change of {points(change)}."
    )

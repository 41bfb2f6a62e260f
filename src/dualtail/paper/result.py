"""Results of a run: three sentences, and small tables of accuracies."""

from dualtail.paper.evidence import listed, points, signed
from dualtail.paper.layout import Table, grid
from dualtail.paper.lookup import Predictor, ScoreLookup, fused, over, tuned, zero_shot
from dualtail.paper.predictors import all_of, loss_name, name_of, tuned_losses
from dualtail.scores.bootstrap import Estimate
from dualtail.scores.schema import SCHEME_GROUPS, SPREAD_GROUPS

MEAN = "mean over the classes of the test split"


def sentences(lookup: ScoreLookup) -> list[str]:
    """Return what the run says on accuracy, on what is left of its biases, and on fusion."""
    found = [_accuracy(lookup), _bias(lookup), _fusion(lookup)]
    return [sentence for sentence in found if sentence]


def headline(lookup: ScoreLookup) -> Table:
    """Return accuracies before tuning, with every loss, and of the fusion: a row for each dataset."""
    context = lookup.context

    def heading(predictor: Predictor) -> tuple[str, str]:
        loss = loss_name(predictor.loss, context)
        if predictor.fusion:
            fusion = f"fused by {context.fusion_label(predictor.fusion)}"
            return f"{len(context.members)} models, {loss}", fusion
        return context.members[context.first_member], loss or "zero-shot"

    columns = [(heading(predictor), predictor) for predictor in _shown(lookup)]
    return Table(
        name="headline",
        title="Accuracy",
        caption=f"Mean over classes on the test split, %; tuned with {context.pefts[context.first_peft]}.",
        cells=grid(
            [((label,), dataset) for dataset, label in context.datasets.items()],
            columns,
            ["Dataset"],
            lambda dataset, predictor: lookup.find(dataset, predictor),
        ),
        formats={labels[-1]: "{:.1f}" for labels, _ in columns},
        notes=tuple(context.seeds_note()),
    )


def by_groups(lookup: ScoreLookup) -> Table:
    """Return the accuracies of the single model and of the fusion by groups of classes."""
    context = lookup.context
    rows = [
        ((label, name_of(predictor, context)), (dataset, predictor))
        for dataset, label in context.datasets.items()
        for predictor in _shown(lookup)
        if lookup.find(dataset, predictor)
    ]
    groups = ("Overall", *SCHEME_GROUPS["D"], *SCHEME_GROUPS["P"])
    return Table(
        name="accuracy-by-groups",
        title="Accuracy by groups of classes",
        caption=f"In %, {MEAN}.",
        cells=grid(
            rows,
            [((group,), group) for group in groups],
            ["Dataset", "Predictor"],
            lambda row, group: lookup.find(*row, group=group),
        ),
        formats=dict.fromkeys(groups, "{:.1f}"),
        notes=tuple(context.seeds_note()),
    )


def _shown(lookup: ScoreLookup) -> list[Predictor]:
    """The single model before tuning and with every loss, and the fusion of all."""
    tuned_models = [_tuned(lookup, loss) for loss in tuned_losses(lookup)]
    found = [zero_shot(lookup.context.first_member), *tuned_models, _whole(lookup)]
    return [predictor for predictor in found if predictor is not None]


def _tuned(lookup: ScoreLookup, loss: str) -> Predictor:
    return tuned(lookup.context.first_member, lookup.context.first_peft, loss)


def _main_loss(lookup: ScoreLookup) -> str | None:
    losses = tuned_losses(lookup)
    return "la" if "la" in losses else losses[-1] if losses else None


def _accuracy(lookup: ScoreLookup) -> str:
    context, loss = lookup.context, _main_loss(lookup)
    who, before = context.members[context.first_member], zero_shot(context.first_member)
    untuned = _by_dataset(lookup, before)
    if loss is None:
        if not untuned:
            return f"**Accuracy.** No output of {who}, which stands for a single model, is scored."
        return f"**Accuracy** ({MEAN}). Before tuning, {who} reaches {listed(untuned)}."
    how = f"tuned with {context.pefts[context.first_peft]} and {loss_name(loss, context)}"
    reached = listed(_by_dataset(lookup, _tuned(lookup, loss)))
    earlier = f"; before tuning, {listed(untuned)}" if untuned else ""
    return f"**Accuracy** ({MEAN}). {who} {how} reaches {reached}{earlier}."


def _bias(lookup: ScoreLookup) -> str:
    loss, losses = _main_loss(lookup), tuned_losses(lookup)
    model = zero_shot(lookup.context.first_member) if loss is None else _tuned(lookup, loss)
    other = "ce" if "ce" in losses and loss != "ce" else None
    said = []
    for scheme, who in (
        ("D", "classes with many training images lead those with few"),
        ("P", "classes that pre-training favors lead those it neglects"),
    ):
        now = _spreads(lookup, model, scheme)
        if now:
            was = _spreads(lookup, _tuned(lookup, other), scheme) if other else []
            before = f" (CE: {listed(was)})" if was else ""
            said.append(f"{who} by **{listed(now)}** points{before}")
    how = "Before tuning," if loss is None else f"With {loss_name(loss, lookup.context)},"
    return f"**Bias.** {how} {' and '.join(said)}." if said else ""


def _fusion(lookup: ScoreLookup) -> str:
    context, whole = lookup.context, _whole(lookup)
    if len(context.members) == 1:
        return "**Fusion.** The run has one foundation model: nothing is fused."
    if whole is None:
        return "**Fusion.** No fusion of all foundation models is scored."
    single = _tuned(lookup, whole.loss) if whole.peft else zero_shot(context.first_member)
    gains = [
        points(gain)
        for dataset in context.datasets
        if (gain := _known(lookup.find(dataset, over(whole, single), "accuracy_gain")))
    ]
    text = (
        f"**Fusion.** {all_of(len(context.members))} foundation models fused by "
        f"{context.fusion_label(whole.fusion)} reach "
        f"{listed(_by_dataset(lookup, whole))}"
    )
    who = context.members[context.first_member]
    return text + (f": {listed(gains)} over {who} alone." if gains else ".")


def _whole(lookup: ScoreLookup) -> Predictor | None:
    """All members fused: tuned with the main loss, or else before tuning."""
    context, loss = lookup.context, _main_loss(lookup)
    members = tuple(context.members)
    if len(members) == 1:
        return None
    tunings = [("", "")] if loss is None else [(context.first_peft, loss), ("", "")]
    for mode in context.config.get("fusion", {}).get("modes", ("logits", "probabilities")):
        for peft, of in tunings:
            predictor = fused(members, peft, of, mode)
            if _by_dataset(lookup, predictor):
                return predictor
    return None


def _spreads(lookup: ScoreLookup, predictor: Predictor, scheme: str) -> list[str]:
    found = (
        _known(lookup.find(dataset, predictor, "spread", SPREAD_GROUPS[scheme]))
        for dataset in lookup.context.datasets
    )
    return [signed(spread.value).removeprefix("+") for spread in found if spread]


def _by_dataset(lookup: ScoreLookup, predictor: Predictor) -> list[str]:
    """The accuracy on each dataset that has one."""
    return [
        f"**{found.value:.1f} %** on {label}"
        for dataset, label in lookup.context.datasets.items()
        if (found := _known(lookup.find(dataset, predictor)))
    ]


def _known(found: Estimate | None) -> Estimate | None:
    return None if found is None or found.value != found.value else found

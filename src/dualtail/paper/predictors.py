"""The predictors of a run in the order of pages, and their names in words."""

from collections.abc import Iterable, Sequence

from dualtail.bias.settings import ENSEMBLE
from dualtail.paper.context import PaperContext
from dualtail.paper.lookup import (
    DECOUPLING,
    GLA_FIRST,
    GLA_TRAIN,
    Predictor,
    ScoreLookup,
    fused,
    tuned,
    zero_shot,
)
from dualtail.scores.schema import KINDS

NOT_PREDICTORS = ("prior", "cost")
ACRONYMS = ("ce", "la", "bs", "cb", "grw", "ldam", "lade", "gla", "gla-zs", "gla-ft")
NAMES = {GLA_TRAIN: "GLA-Train", GLA_FIRST: "GLA-Train, first stage", DECOUPLING: "Decoupling"}
LOSSES_OF_THE_PAPER = ("ce", "la", *NAMES)
ADJUSTMENT_NAMES = {"gla-scaled": "GLA with two scales"}


def predictors_of(lookup: ScoreLookup, dataset: str) -> list[Predictor]:
    """Return whose test predictions of a dataset are scored, also those that no table of the paper shows."""
    rows = lookup.test_accuracies(dataset)
    rows = rows[(rows["group"] == "Overall") & ~rows["kind"].isin(NOT_PREDICTORS)]
    found = {Predictor(*row) for row in rows[list(Predictor._fields)].itertuples(index=False)}
    context = lookup.context

    def place(predictor: Predictor) -> tuple:
        members = predictor.members.split("+")
        return (
            KINDS.index(predictor.kind),
            _rank(context.pefts, predictor.peft),
            len(members),
            [_rank(context.members, member) for member in members],
            _rank(context.config.get("losses", ()), predictor.loss),
            predictor,
        )

    return sorted(found, key=place)


def name_of(predictor: Predictor, context: PaperContext) -> str:
    """Return a predictor in words: `CLIP, AdaptFormer, LA`; what all the models make is called so."""
    labels = [context.members.get(m, m) for m in predictor.members.split("+")]
    everybody = predictor.members == "+".join(context.members) and len(labels) > 1
    who = f"{all_of(len(labels))} models" if everybody else " + ".join(labels)
    if predictor.fusion == ENSEMBLE:
        parts = [f"{labels[0]}, ensemble of {len(labels)} seeds"]
    else:
        how = context.fusion_label(predictor.fusion)
        parts = [f"{who} fused by {how}" if predictor.fusion else who]
    parts += [context.pefts.get(predictor.peft, predictor.peft), loss_name(predictor.loss, context)]
    if predictor.kind in ("scratch", "imported"):
        parts.append(predictor.kind)
    elif not predictor.peft:
        parts.append("zero-shot")
    if predictor.adjustment:
        name = ADJUSTMENT_NAMES.get(predictor.adjustment) or _plain_name(predictor.adjustment)
        parts.append(f"adjusted by {name}")
    if predictor.kind == "knn":
        parts.append("kNN on its features")
    return ", ".join(part for part in parts if part)


def all_of(n: int) -> str:
    """Return the word before a plural: `Both`, `All 3` ..."""
    return "Both" if n == 2 else f"All {n}"


def loss_name(loss: str, context: PaperContext) -> str:
    """Return a loss as tables write it: its label, else `LA`, `GLA-Train` ...; one's own by its name."""
    return context.losses.get(loss) or _plain_name(loss)


def tuned_losses(lookup: ScoreLookup) -> list[str]:
    """Return the losses with which the single model was tuned on some dataset, in the order of the study."""
    context, study = lookup.context, lookup.context.config.get("study", {})
    more = [loss for variant in study.get("variants", []) for loss in variant["losses"]]
    names = dict.fromkeys([*study.get("losses", []), *more, *lookup.scores["loss"]])
    return [
        loss
        for loss in names
        if loss
        and "|" not in loss
        and any(
            lookup.find(dataset, tuned(context.first_member, context.first_peft, loss))
            for dataset in context.datasets
        )
    ]


def further_losses(lookup: ScoreLookup) -> dict[str, Predictor]:
    """Return the single model tuned with losses that no table of the paper is about: label -> predictor."""
    context = lookup.context
    return {
        loss_name(loss, context): tuned(context.first_member, context.first_peft, loss)
        for loss in tuned_losses(lookup)
        if loss not in LOSSES_OF_THE_PAPER
    }


def main_pair(lookup: ScoreLookup, known: Sequence[Predictor]) -> tuple[int, int]:
    """Return which two of the known predictors a page compares at first, the more elaborate one first."""
    context = lookup.context
    single, peft = context.first_member, context.first_peft
    wished = [
        fused(tuple(context.members), peft, "la", "logits"),
        *(tuned(single, peft, loss) for loss in ("la", "ce")),
        *(p for p in known if (p.kind, p.members, p.peft) == ("tuned", single, peft)),
        zero_shot(single),
    ]
    there = dict.fromkeys(predictor for predictor in (*wished, *known) if predictor in known)
    pair = [known.index(predictor) for predictor in there][:2]
    return pair[0], pair[-1]


def _rank(order: Iterable[str], name: str) -> int:
    return [*order, name].index(name)


def _plain_name(name: str) -> str:
    return name.upper() if name in ACRONYMS else NAMES.get(name, name)

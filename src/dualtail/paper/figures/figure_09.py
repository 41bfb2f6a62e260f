"""Figure 9: without pre-training, class accuracy does not follow the pre-training prior."""

from dataclasses import replace

from dualtail.errors import UserError
from dualtail.paper.evidence import points
from dualtail.paper.lookup import Predictor, ScoreLookup, tuned
from dualtail.paper.sorted_curves import Look, draw_curve, smoothing_in_words, sorted_classes
from dualtail.paper.style import BLACK, BLUE, PaperFigure, drawing
from dualtail.scores.schema import SPREAD_GROUPS
from dualtail.scratch.settings import ScratchTraining

LOOKS = {"tuned": Look(BLUE, "-", "o"), "scratch": Look(BLACK, (0, (4, 1.5)), "D")}


def build(lookup: ScoreLookup) -> PaperFigure:
    """Draw both curves over the classes in the order of q."""
    import pandas as pd

    context = lookup.context
    settings = context.config.get("scratch")
    if settings is None:
        raise UserError(
            "figure 9 shows a network trained from scratch: set `scratch` in the config"
        )
    dataset, loss, seeds = (settings[name] for name in ("dataset", "loss", "seeds"))
    training = ScratchTraining.model_validate(settings["training"])
    member, peft = context.first_member, context.first_peft
    own = ScoreLookup(lookup.scores, replace(context, seeds=tuple(seeds)), lookup.per_class)
    network = Predictor("scratch", training.architecture, "", loss)
    shown = {
        "tuned": (
            f"{context.members[member]}, {context.pefts[peft]}",
            lookup,
            tuned(member, peft, loss),
        ),
        "scratch": (f"{training.label} from scratch", own, network),
    }
    data = []
    with drawing(2.5) as figure:
        ax = figure.subplots()
        for curve, (label, found, model) in shown.items():
            classes = sorted_classes(found, dataset, model, "q")
            spread = found.get(dataset, model, "spread", SPREAD_GROUPS["P"])
            overall = f"overall {found.get(dataset, model).value:.1f} %"
            numbers = f"{label}: {overall}; P-Many less P-Few {points(spread)}"
            draw_curve(ax, classes, numbers, LOOKS[curve])
            data.append(classes.assign(dataset=context.datasets[dataset], curve=curve))
        ax.set_xlabel("class rank by pre-training prior $q$, most frequent first")
        ax.set_ylabel("accuracy (%)")
        ax.set_ylim(0, 102)
        figure.legend(*ax.get_legend_handles_labels(), loc="outside upper left", ncols=1)
    columns = ["dataset", "curve", "rank", "class_index", "class_name", "q", "accuracy", "smoothed"]
    return PaperFigure(
        number=9,
        title="With and without pre-training, sorted by the pre-training prior",
        caption=(
            f"Accuracy (%) of each class of {context.datasets[dataset]} (marks), trained with the loss "
            f"{loss.upper()}: {shown['tuned'][0]}, and {shown['scratch'][0]} (mean over {len(seeds)} "
            f"seed{'s' if len(seeds) > 1 else ''}), sorted by {context.members[member]}'s estimated "
            f"prior q. {smoothing_in_words(len(data[0]))} In brackets: 95 % intervals."
        ),
        figure=figure,
        data=pd.concat(data, ignore_index=True)[columns],
    )

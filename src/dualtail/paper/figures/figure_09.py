"""Figure 9: without pre-training, class accuracy does not follow the pre-training prior."""

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from dualtail.errors import UserError
from dualtail.paper.lookup import Predictor, ScoreLookup, tuned
from dualtail.paper.sorted_curves import smoothing_width, sorted_classes
from dualtail.paper.style import BLUE, DOUBLE, VERMILION, PaperFigure, styled
from dualtail.scores.schema import SPREAD_GROUPS
from dualtail.scratch.settings import ScratchTraining

if TYPE_CHECKING:
    import pandas as pd

STYLES = {"tuned": (BLUE, "-", "o"), "scratch": (VERMILION, (0, (4, 1.5)), "D")}


class Curve(NamedTuple):
    """One of the two models: its label with numbers, and a row a class."""

    label: str
    rows: "pd.DataFrame"


def build(lookup: ScoreLookup) -> PaperFigure:
    """Draw both curves over the classes in the order of q.

    Raises:
        UserError: the run trains nothing from scratch, or the tables lack its outputs or q.
    """
    import pandas as pd
    from matplotlib.figure import Figure

    context = lookup.context
    settings = context.config.get("scratch")
    if settings is None:
        raise UserError(
            "figure 9 shows a network trained from scratch: set `scratch` in the config"
        )
    dataset, loss, seeds = (settings[name] for name in ("dataset", "loss", "seeds"))
    training = ScratchTraining.model_validate(settings["training"])
    member, peft = context.first_member, context.first_peft
    labels = {
        "tuned": f"{context.members[member]}, {context.pefts[peft]}",
        "scratch": f"{training.label} from scratch",
    }
    own = ScoreLookup(lookup.scores, replace(context, seeds=tuple(seeds)), lookup.per_class)
    network = Predictor("scratch", training.architecture, "", loss)
    curves = {
        "tuned": _curve(lookup, dataset, tuned(member, peft, loss), labels["tuned"]),
        "scratch": _curve(own, dataset, network, labels["scratch"]),
    }
    n_classes = len(curves["tuned"].rows)
    with styled():
        figure = Figure(figsize=(DOUBLE, 2.5))
        ax = figure.subplots()
        for name, (label, rows) in curves.items():
            color, dash, marker = STYLES[name]
            ax.plot(rows["rank"], rows["accuracy"], marker, color=color, ms=3, alpha=0.5, mew=0)
            ax.plot(rows["rank"], rows["smoothed"], color=color, linestyle=dash, label=label)
        ax.set_xlabel("class rank by pre-training prior $q$, most frequent first")
        ax.set_ylabel("accuracy (%)")
        ax.set_xlim(0.5, n_classes + 0.5)
        ax.set_ylim(0, 102)
        figure.legend(*ax.get_legend_handles_labels(), loc="outside upper left", ncols=1)
    data = pd.concat([curve.rows.assign(curve=name) for name, curve in curves.items()])
    data.insert(0, "dataset", context.datasets[dataset])
    data.insert(1, "curve", data.pop("curve"))
    return PaperFigure(
        number=9,
        title="With and without pre-training, sorted by the pre-training prior",
        caption=(
            f"Accuracy (%) of each class of {context.datasets[dataset]} (marks), trained with the loss "
            f"{loss.upper()}: {labels['tuned']}, and {labels['scratch']} (mean over {len(seeds)} "
            f"seed{'s' if len(seeds) > 1 else ''}), sorted by {context.members[member]}'s estimated "
            "prior q. Lines: Gaussian moving average over the rank with a standard deviation of "
            f"{smoothing_width(n_classes):g} classes. In brackets: 95 % intervals."
        ),
        figure=figure,
        data=data.reset_index(drop=True),
    )


def _curve(lookup: ScoreLookup, dataset: str, predictor: Predictor, label: str) -> Curve:
    rows = sorted_classes(lookup, dataset, predictor, "q")
    spread = lookup.get(dataset, predictor, "spread", SPREAD_GROUPS["P"])
    overall = lookup.get(dataset, predictor)
    numbers = (
        f"overall {overall.value:.1f} %; P-Many less P-Few "
        f"{spread.value:+.1f} points [{spread.low:+.1f}, {spread.high:+.1f}]"
    )
    return Curve(f"{label}: {numbers}", rows)

"""Figure 9: without pre-training, class accuracy does not follow the pre-training prior."""

from dataclasses import replace
from typing import TYPE_CHECKING

from dualtail.errors import UserError
from dualtail.paper.context import PaperContext
from dualtail.paper.lookup import Predictor, ScoreLookup, tuned
from dualtail.paper.sorted_curves import smoothing_width, sorted_classes
from dualtail.paper.style import BLUE, DOUBLE, VERMILION, PaperFigure, styled
from dualtail.scores.schema import SPREAD_GROUPS
from dualtail.scratch.settings import ScratchTraining

if TYPE_CHECKING:
    import pandas as pd

STYLES = {"tuned": (BLUE, "-", "o"), "scratch": (VERMILION, (0, (4, 1.5)), "D")}


def build(scores: "pd.DataFrame", per_class: "pd.DataFrame", context: PaperContext) -> PaperFigure:
    """Draw both curves over the classes in the order of q.

    Raises:
        UserError: the run trains nothing from scratch, or the tables lack its outputs or q.
    """
    import pandas as pd
    from matplotlib.figure import Figure

    settings = context.config.get("scratch")
    if settings is None:
        raise UserError(
            "figure 9 shows a network trained from scratch: set `scratch` in the config"
        )
    dataset, loss = settings["dataset"], settings["loss"]
    training = ScratchTraining.model_validate(settings["training"])
    member, peft = context.first_member, context.first_peft
    curves = {
        "tuned": (tuned(member, peft, loss), context),
        "scratch": (
            Predictor("scratch", training.architecture, "", loss),
            replace(context, seeds=tuple(settings["seeds"])),
        ),
    }
    labels = {
        "tuned": f"{context.members[member]}, {context.pefts[peft]}",
        "scratch": f"{training.label} from scratch",
    }
    parts = []
    with styled():
        figure = Figure(figsize=(DOUBLE, 2.5))
        ax = figure.subplots()
        for name, (predictor, own) in curves.items():
            rows = sorted_classes(per_class, own, dataset, predictor, "q")
            lookup = ScoreLookup(scores, own)
            spread = lookup.get(dataset, predictor, "spread", SPREAD_GROUPS["P"])
            overall = lookup.get(dataset, predictor)
            color, dash, marker = STYLES[name]
            label = (
                f"{labels[name]}: overall {overall.value:.1f} %; P-Many less P-Few "
                f"{spread.value:+.1f} points [{spread.low:+.1f}, {spread.high:+.1f}]"
            )
            ax.plot(rows["rank"], rows["accuracy"], marker, color=color, ms=3, alpha=0.5, mew=0)
            ax.plot(rows["rank"], rows["smoothed"], color=color, linestyle=dash, label=label)
            parts.append(rows.assign(dataset=context.datasets[dataset], curve=name))
        n_classes = len(parts[0])
        ax.set_xlabel("class rank by pre-training prior $q$, most frequent first")
        ax.set_ylabel("accuracy (%)")
        ax.set_xlim(0.5, n_classes + 0.5)
        ax.set_ylim(0, 102)
        figure.legend(*ax.get_legend_handles_labels(), loc="outside upper left", ncols=1)
    data = pd.concat(parts, ignore_index=True)
    n_seeds = len(settings["seeds"])
    return PaperFigure(
        number=9,
        title="With and without pre-training, sorted by the pre-training prior",
        caption=(
            f"Accuracy (%) of each class of {context.datasets[dataset]} (marks), trained with the loss "
            f"{loss.upper()}: {labels['tuned']}, and {labels['scratch']} (mean over {n_seeds} "
            f"seed{'s' if n_seeds > 1 else ''}), sorted by {context.members[member]}'s estimated "
            "prior q. Lines: Gaussian moving average over the rank with a standard deviation of "
            f"{smoothing_width(n_classes):g} classes. In brackets: 95 % intervals."
        ),
        figure=figure,
        data=data[["dataset", "curve", *parts[0].columns.drop(["dataset", "curve"])]],
    )

"""Figure 8: confidence of the true class with one semantic factor hidden."""

from typing import TYPE_CHECKING, Any

import numpy as np

from dualtail.errors import UserError
from dualtail.explain.examples import Examples
from dualtail.paper.context import PaperContext
from dualtail.paper.hidden_parts import hidden_parts
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.style import BLUE, DOUBLE, GRAY, PaperFigure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def predictors(context: PaperContext) -> dict[str, dict[str, Any]]:
    """Label -> identity of the LA models and of their two fusions."""
    tuning = context.first_tuning | {"loss": "la"}
    members = "+".join(context.members)
    found = {label: {"members": m} | tuning for m, label in context.members.items()}
    return found | {"Fused": {"members": members, "fusion": "logits"} | tuning}


def build(lookup: ScoreLookup) -> PaperFigure:
    """Draw a column an image: whole, with a part hidden, and what the models make of both.

    Raises:
        UserError: no dataset has images with hidden parts, or a model's confidences are missing.
    """
    import pandas as pd
    from matplotlib.figure import Figure

    context = lookup.context
    if not context.occluded:
        raise UserError("figure 8: no images with hidden parts: set datasets.NAME.occlusion")
    dataset = context.places if context.places in context.occluded else context.occluded[0]
    examples = context.examples_of(dataset)
    shown = hidden_parts(examples)
    labels = list(examples.header.conditions.values())
    data: list[dict[str, Any]] = []
    with styled():
        width = DOUBLE / len(shown)
        figure = Figure(figsize=(DOUBLE, 2 * width * 0.8 + 1.75))
        axes = figure.subplots(3, len(shown), squeeze=False, height_ratios=[1, 1, 0.95])
        for column, (image, condition) in enumerate(shown):
            top, middle, bottom = axes[:, column]
            for ax, k in ((top, 0), (middle, condition)):
                ax.imshow(examples.pictures[image, k])
                ax.set_xticks([])
                ax.set_yticks([])
                ax.spines[:].set_visible(False)
            top.set_title(f"Image {column + 1}: “{examples.header.class_names[image]}”")
            middle.set_title(labels[condition], fontsize=7)
            data += _draw_bars(bottom, examples, image, condition, context, dataset, column)
            if column:
                bottom.set_yticklabels([])
        handles, names = axes[2, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=2)
    parts = ", ".join(f"{labels[c]}" for c in range(1, len(labels)))
    return PaperFigure(
        number=8,
        title="Confidence with one semantic factor hidden",
        caption=(
            f"Test images of {context.datasets[dataset]} with nothing hidden and with one part "
            f"hidden ({parts}), everything else equal, and the probability of the true class by "
            f"models tuned with {context.pefts[context.first_peft]} and LA, P(Y|X), and by their "
            "fusion (logits), P(Y|do(X)). Images: the first, one a class, that all models get right "
            "with nothing hidden (others follow if there are too few); what hiding does "
            "was not looked at. Means over all pairs "
            "are in Table 15."
        ),
        figure=figure,
        data=pd.DataFrame(data),
    )


def _draw_bars(
    ax: "Axes",
    examples: Examples,
    image: int,
    condition: int,
    context: PaperContext,
    dataset: str,
    column: int,
) -> list[dict[str, Any]]:
    """Draw two bars a model: nothing hidden, part hidden; return what is drawn."""
    data: list[dict[str, Any]] = []
    conditions = list(examples.header.conditions)
    models = predictors(context)
    for k, (name, shown) in enumerate(models.items()):
        values = examples.confidence(**shown)[image]
        for offset, which, color, label in (
            (-0.2, 0, GRAY, "nothing hidden"),
            (0.2, condition, BLUE, "part hidden"),
        ):
            value = float(values[which])
            ax.barh(k + offset, value, 0.36, color=color, label=label if k == 0 else "")
            ax.text(value + 0.02, k + offset, f"{value:.2f}", va="center", fontsize=6)
            data.append(
                {
                    "dataset": dataset,
                    "image": column + 1,
                    "path": examples.header.images[image],
                    "class_name": examples.header.class_names[image],
                    "condition": conditions[which],
                    "model": name,
                    "confidence": value,
                }
            )
    ax.set_yticks(np.arange(len(models)), list(models))
    ax.invert_yaxis()
    ax.tick_params(axis="y", length=0)
    ax.set_xlim(0, 1.2)
    ax.set_xticks([0, 0.5, 1])
    ax.set_xlabel("P(true class)", fontsize=7)
    return data

"""Figure 8: confidence of the true class with one semantic factor hidden."""

from typing import TYPE_CHECKING

from dualtail.errors import UserError
from dualtail.explain.examples import Examples
from dualtail.paper.cam_panels import bare
from dualtail.paper.context import PaperContext
from dualtail.paper.hidden_parts import hidden_parts
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.style import BLACK, DOUBLE, GRAY, MEMBERS, PaperFigure, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OPACITY = {"nothing hidden": 0.35, "part hidden": 1.0}
"""Of the two bars of a model."""


def build(lookup: ScoreLookup) -> PaperFigure:
    """Draw a column per image: whole, with a part hidden, and what the models make of both."""
    import pandas as pd
    from matplotlib.patches import Patch

    context = lookup.context
    if not context.occluded:
        raise UserError("figure 8: no images with hidden parts: set datasets.NAME.occlusion")
    dataset = context.places if context.places in context.occluded else context.occluded[0]
    examples = context.examples_of(dataset)
    shown, header = hidden_parts(examples), examples.header
    labels = list(header.conditions.values())
    data = []
    with drawing(1.6 * DOUBLE / len(shown) + 1.75) as figure:
        axes = figure.subplots(3, len(shown), squeeze=False, height_ratios=[1, 1, 0.95])
        for column, (image, condition) in enumerate(shown):
            top, middle, bottom = axes[:, column]
            for ax, k in ((top, 0), (middle, condition)):
                ax.imshow(examples.pictures[image, k])
                bare(ax)
            top.set_title(f"Image {column + 1}: “{header.class_names[image]}”")
            middle.set_title(labels[condition], fontsize=7)
            about = {"dataset": dataset, "image": column + 1, "path": header.images[image]}
            about["class_name"] = header.class_names[image]
            data += [about | bar for bar in _draw_bars(bottom, context, examples, image, condition)]
            if column:
                bottom.set_yticklabels([])
        keys = [Patch(color=GRAY, alpha=alpha, label=name) for name, alpha in OPACITY.items()]
        figure.legend(handles=keys, loc="outside lower center", ncols=2)
    return PaperFigure(
        number=8,
        title="Confidence with one semantic factor hidden",
        caption=(
            f"Test images of {context.datasets[dataset]} with nothing hidden and with one part "
            f"hidden ({', '.join(labels[1:])}), everything else equal, and the probability of the true "
            f"class by models tuned with {context.pefts[context.first_peft]} and LA, P(Y|X), and by "
            "their fusion (logits), P(Y|do(X)). Images: the first, one per class, that all models get "
            "right with nothing hidden (others follow if there are too few); what hiding does "
            "was not looked at. Means over all pairs are in Table 15."
        ),
        figure=figure,
        data=pd.DataFrame(data),
    )


def _draw_bars(
    ax: "Axes", context: PaperContext, examples: Examples, image: int, condition: int
) -> list[dict[str, object]]:
    """Draw two bars per model, nothing hidden and a part hidden; return what is drawn."""
    models = {label: {"members": member} for member, label in context.members.items()}
    models["Fused"] = {"members": "+".join(context.members), "fusion": "logits"}
    conditions, data = list(examples.header.conditions), []
    for k, (name, model) in enumerate(models.items()):
        values = examples.confidence(**model, loss="la", **context.first_tuning)[image]
        color = BLACK if name == "Fused" else MEMBERS[k % len(MEMBERS)]
        for y, which, alpha in zip(
            (k - 0.2, k + 0.2), (0, condition), OPACITY.values(), strict=True
        ):
            value = float(values[which])
            ax.barh(y, value, 0.36, color=color, alpha=alpha)
            ax.text(value + 0.02, y, f"{value:.2f}", va="center", fontsize=6)
            data.append({"condition": conditions[which], "model": name, "confidence": value})
    ax.set_yticks(range(len(models)), list(models))
    ax.invert_yaxis()
    ax.tick_params(axis="y", length=0)
    ax.set_xlim(0, 1.2)
    ax.set_xticks([0, 0.5, 1])
    ax.set_xlabel("P(true class)", fontsize=7)
    return data

"""Pictures of an audit, as PNG bytes."""

import io
from typing import TYPE_CHECKING

import numpy as np

from dualtail.bias.groups import D_GROUPS, P_GROUPS
from dualtail.paper import style
from dualtail.report.audit import ModelAudit
from dualtail.scores.bootstrap import Estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 10
"""Classes at either end."""


def prior_figure(model: ModelAudit, class_names: list[str]) -> bytes:
    """The least and most favored classes with intervals; beside it accuracy against q of all."""
    ends = _ends(model)
    with style.drawing(max(2.4, 0.19 * len(ends) + 0.9)) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.1))
        share = model.share
        low, high = (
            np.maximum(edge * model.n_classes, 1e-6)
            for edge in (model.intervals.ci_low, model.intervals.ci_high)
        )
        colors = np.full(model.n_classes, style.GRAY, dtype=object)
        colors[model.under_served] = style.VERMILION
        colors[model.favored] = style.BLUE
        for row, c in enumerate(ends):
            left.plot([low[c], high[c]], [row, row], color=colors[c], linewidth=1.4)
            left.plot(share[c], row, "o", color=colors[c], markersize=3.5)
        left.set_yticks(range(len(ends)), [_short(class_names[c]) for c in ends])
        left.set_ylim(-0.6, len(ends) - 0.4)
        left.set_xlabel("q, in even shares (95 % interval)")
        left.set_title("least (below) and most favored classes")
        shown = np.flatnonzero(model.present)
        right.scatter(
            share[shown], 100 * model.accuracy[shown], s=11, c=list(colors[shown]), linewidths=0
        )
        right.set_xlabel("q, in even shares")
        right.set_ylabel("zero-shot accuracy of the class, %")
        right.set_ylim(-4, 104)
        right.set_title("every class")
        for axes in (left, right):
            axes.set_xscale("log")
            axes.axvline(1, color=style.BLACK, linewidth=0.6, linestyle=(0, (4, 3)), zorder=0)
        return _png(figure)


def nine_groups_figure(model: ModelAudit) -> bytes:
    """Accuracy of the nine crossings of D- and P-groups, as in Fig. 2."""
    from dualtail.paper.heatmap import draw

    assert model.nine_groups is not None
    found = {
        name: Estimate(*(100 * number for number in estimate))
        for name, (estimate, _) in model.nine_groups.items()
    }
    groups = [[found[f"{d}/{p}"] for d in D_GROUPS] for p in P_GROUPS]
    with style.drawing(2.9, style.SINGLE) as figure:
        axes = figure.subplots()
        image = draw(
            axes,
            groups,
            title="zero-shot accuracy, %",
            limits=(0, 100),
            colormap=style.SEQUENTIAL,
        )
        figure.colorbar(image, ax=axes, shrink=0.8)
        return _png(figure)


def _ends(model: ModelAudit) -> np.ndarray:
    """The first and last classes by q, ascending, each once."""
    order = model.ascending
    return order if order.size <= 2 * SHOWN else np.r_[order[:SHOWN], order[-SHOWN:]]


def _short(name: str) -> str:
    # A dollar sign would start mathematics.
    name = name.replace("$", r"\$")
    return name if len(name) <= 24 else name[:23] + "…"


def _png(figure: "Figure") -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=150, metadata={"Software": None})
    return stream.getvalue()

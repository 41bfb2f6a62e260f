"""Figure 5: the framework: pre-training, tuning, backdoor adjustment."""

from typing import TYPE_CHECKING

import numpy as np

from dualtail.paper.context import PaperContext
from dualtail.paper.diagram import Edge, Node, canvas, diagram_data, draw_diagram
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.style import (
    BLUE,
    DOUBLE,
    GRAY,
    GREEN,
    ORANGE,
    PURPLE,
    VERMILION,
    PaperFigure,
    styled,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

LANE = 0.82
"""Height of one member, inches."""
TOP = 0.42
BOTTOM = 0.72
COLORS = (BLUE, ORANGE, GREEN, PURPLE)
BARS = 40
"""Most bars in a small picture of a prior: classes are averaged in runs of equal length."""


def build(lookup: ScoreLookup) -> PaperFigure:
    """Draw a lane a member, with the priors of the run in small."""
    import pandas as pd
    from matplotlib.figure import Figure

    context = lookup.context
    members = list(context.members)
    height = LANE * len(members) + TOP + BOTTOM
    nodes, edges = _diagram(context, height)
    data = [diagram_data("framework", nodes, edges)]
    dataset = context.places
    with styled():
        figure = Figure(figsize=(DOUBLE, height))
        figure.set_layout_engine("none")
        ax = figure.add_axes((0, 0, 1, 1))
        canvas(ax, DOUBLE, height)
        draw_diagram(ax, nodes, edges)
        for m, member in enumerate(members):
            prior = context.priors.get((dataset, member))
            if prior is None:
                continue
            values = np.sort(prior["q"].to_numpy(float))[::-1]
            y = _lane(m, height)
            inset = ax.inset_axes((0.22, y - 0.22, 0.86, 0.36), transform=ax.transData)
            data.append(_bars(inset, values, COLORS[m % len(COLORS)], f"q of {member}"))
        classes = lookup.per_class
        counts = classes[classes["dataset"] == dataset].drop_duplicates("class_index")
        counts = counts["train_count"].dropna().to_numpy(float)
        if counts.size:
            inset = ax.inset_axes((2.75, 0.1, 0.9, 0.34), transform=ax.transData)
            data.append(_bars(inset, np.sort(counts)[::-1], VERMILION, "training images"))
    return PaperFigure(
        number=5,
        title="The framework",
        caption=(
            f"Each of M = {len(members)} foundation models is one semantic factor c with a "
            "pre-training prior q of its own (parameter imbalance). All are tuned on the same "
            "long-tailed images (data imbalance) with a PEFT method and logit adjustment (LA, "
            "Eq. 2), which repairs the second only. The mean of their predictions is the backdoor "
            f"adjustment (Eq. 7). Small bars: estimated q of each model and the training images of "
            f"{context.datasets[dataset]}, classes sorted."
        ),
        figure=figure,
        data=pd.concat(data, ignore_index=True),
    )


def _lane(m: int, height: float) -> float:
    """Middle of a member's lane, inches from the bottom."""
    return height - TOP - LANE * (m + 0.45)


def _diagram(context: PaperContext, height: float) -> tuple[list[Node], list[Edge]]:
    middle = (_lane(0, height) + _lane(len(context.members) - 1, height)) / 2
    nodes = [
        Node("title 1", "1  Pre-training", 1.3, height - 0.18, 0, 0, "", size=9),
        Node("title 2", "2  Tuning", 3.6, height - 0.18, 0, 0, "", size=9),
        Node("title 3", "3  Backdoor adjustment", 5.75, height - 0.18, 0, 0, "", size=9),
        Node("fusion", "mean over $c$\n$P(c) = 1/M$", 5.32, middle - 0.04, 0.9, 0.62, GRAY),
        Node("result", "$P(Y\\,|\\,do(X))$", 6.45, middle - 0.04, 0.92, 0.4, VERMILION),
        Node(
            "data",
            "data imbalance: the same\nlong-tailed images, $\\pi_S$",
            4.5,
            0.27,
            0,
            0,
            "",
            size=7,
        ),
        Node(
            "parameters", "parameter imbalance:\ncorpora of their own", 0.65, 0.27, 0, 0, "", size=7
        ),
    ]
    edges = [Edge("fusion", "result")]
    for m, (member, label) in enumerate(context.members.items()):
        y, color = _lane(m, height), COLORS[m % len(COLORS)]
        nodes += [
            Node(f"corpus {member}", f"prior $q_{{{m + 1}}}$", 0.65, y + 0.26, 0, 0, "", size=7),
            Node(f"bars {member}", "", 0.65, y - 0.04, 0.98, 0.42, GRAY),
            Node(f"model {member}", label, 1.86, y - 0.04, 0.86, 0.42, color),
            Node(f"tuned {member}", "PEFT + LA", 3.2, y - 0.04, 0.9, 0.42, color),
            Node(
                f"factor {member}",
                f"$P(Y\\,|\\,X, c_{{{m + 1}}})$",
                4.32,
                y - 0.04,
                0.84,
                0.42,
                color,
            ),
        ]
        edges += [
            Edge(f"bars {member}", f"model {member}"),
            Edge(f"model {member}", f"tuned {member}", "frozen", GRAY, shift=(0, 0.1)),
            Edge(f"tuned {member}", f"factor {member}"),
            Edge(f"factor {member}", "fusion"),
        ]
    nodes.append(Node("tail", "", 3.2, 0.27, 0.98, 0.4, VERMILION))
    edges += [Edge("tail", f"tuned {member}", color=VERMILION) for member in context.members]
    return nodes, edges


def _bars(ax: "Axes", values: np.ndarray, color: str, name: str) -> "pd.DataFrame":
    """Draw sorted bars without axes; return what is drawn."""
    import pandas as pd

    heights = np.array([part.mean() for part in np.array_split(values, min(BARS, values.size))])
    ax.bar(np.arange(heights.size), heights / heights.max(), width=1, color=color)
    ax.set_axis_off()
    ax.margins(x=0)
    return pd.DataFrame(
        {"panel": name, "kind": "bar", "x": np.arange(heights.size), "y": heights.astype(float)}
    )

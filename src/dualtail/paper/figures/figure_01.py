"""Figure 1: the causal graph: the incomplete semantic factor confounds images and labels."""

from dualtail.paper.diagram import Edge, Node, canvas, diagram_data, draw_diagram
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.style import (
    BLACK,
    BLUE,
    DOUBLE,
    GRAY,
    GREEN,
    VERMILION,
    PaperFigure,
    styled,
)

HEIGHT = 2.1
WIDTH = DOUBLE / 2
NODES = (
    Node("C", "$C$\nincomplete\nsemantic factor", 1.75, 1.62, 1.2, 0.74, VERMILION, round=True),
    Node("X", "$X$\nimage", 0.5, 0.45, 0.8, 0.56, BLUE, round=True),
    Node("B", "$B$\nbalanced\nrepresentation", 1.75, 0.45, 1.12, 0.66, GREEN, round=True),
    Node("Y", "$Y$\nlabel", 3.0, 0.45, 0.8, 0.56, GRAY, round=True),
)
CAUSAL = (Edge("X", "B"), Edge("B", "Y"))
CONFOUNDED = (
    Edge("C", "X", "shows\none part", VERMILION, dashed=True, shift=(-0.42, 0.12)),
    Edge("C", "B", "sees\none part", VERMILION, dashed=True, shift=(0.36, 0.04)),
)
ADJUSTED = (
    Edge("C", "X", "cut by\n$do(X)$", GRAY, dashed=True, cut=True, shift=(-0.42, 0.14)),
    Edge("C", "B", "averaged over\n$P(C)$", BLACK, shift=(0.52, 0.04)),
)


def build(_: ScoreLookup) -> PaperFigure:
    """Draw the graph as it is observed, and under the intervention."""
    import pandas as pd
    from matplotlib.figure import Figure

    panels = {
        "(a) observed: $P(Y\\,|\\,X)$": (*CONFOUNDED, *CAUSAL),
        "(b) adjusted: $P(Y\\,|\\,do(X)) = \\sum_c P(Y\\,|\\,X, c)\\,P(c)$": (*ADJUSTED, *CAUSAL),
    }
    with styled():
        figure = Figure(figsize=(DOUBLE, HEIGHT + 0.2))
        for ax, (title, edges) in zip(figure.subplots(1, 2), panels.items(), strict=True):
            canvas(ax, WIDTH, HEIGHT)
            draw_diagram(ax, NODES, edges)
            ax.set_title(title)
    return PaperFigure(
        number=1,
        title="The incomplete semantic factor as a confounder",
        caption=(
            "Causal graph, drawn after the paper's description. A foundation model's corpus shows "
            "classes by one semantic factor C (one part of them, say): C decides what images X show "
            "and what the representation B sees, which logit adjustment balances for data imbalance "
            "only. (a) The path X ← C → B → Y (dashed) is open, and P(Y|X) holds a spurious "
            "correlation. (b) Backdoor adjustment: each foundation model is one value c, and the "
            "mean of their predictions is P(Y|do(X))."
        ),
        figure=figure,
        data=pd.concat(
            [
                diagram_data(panel, NODES, edges)
                for panel, edges in zip(("a", "b"), panels.values(), strict=True)
            ],
            ignore_index=True,
        ),
    )

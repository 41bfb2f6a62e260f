"""Figure 1: earlier methods tune on imbalanced data, and ignore what pre-training data left behind."""

from dualtail.paper.diagram import (
    Edge,
    Node,
    Panel,
    count_bars,
    diagram_data,
    draw_diagram,
    prior_bars,
)
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.style import BLACK, DATA, DOUBLE, GRAY, PARAMETERS, PaperFigure, drawing


def build(lookup: ScoreLookup) -> PaperFigure:
    """Draw the path from both data to predictions, with the imbalances of the run in small."""
    context = lookup.context
    dataset, member = context.places, context.first_member
    q, counts = prior_bars(lookup, dataset, member), count_bars(lookup, dataset)
    top, box = 1.32, (1.05, 0.56)
    nodes = [
        Node("scope", "", 4.6, 1.06, 4.66, 2.0, GRAY, back=True),
        Node("scope title", "what earlier methods look at", 4.65, 1.87, size=8),
        Node("pre-training title", "pre-training data,\nimbalanced", 0.62, top + 0.48),
        Node("pre-training data", "", 0.62, top, 0.95, 0.56, PARAMETERS, bars=q),
        Node("foundation model", "foundation\nmodel", 2.95, top, *box, BLACK, size=8),
        Node("tuned model", "tuned\nmodel", 4.65, top, *box, BLACK, size=8),
        Node("predictions", "predictions", 6.32, top, 0.94, 0.56, BLACK, size=8),
        Node("downstream title", "downstream data,\nimbalanced", 3.55, 0.4),
        Node("downstream data", "", 4.65, 0.4, *box, DATA, bars=counts),
    ]
    ignored, mended = "parameter imbalance:\nignored", "data imbalance:\nre-balanced"
    edges = [
        Edge(
            "pre-training data", "foundation model", ignored, PARAMETERS, True, shift=(-0.08, 0.19)
        ),
        Edge("foundation model", "tuned model", "tuning", shift=(0, 0.1)),
        Edge("downstream data", "tuned model", mended, DATA, shift=(0.52, 0)),
        Edge("tuned model", "predictions"),
    ]
    panel = Panel("methods", DOUBLE, 2.2, nodes, edges)
    with drawing(panel.height) as figure:
        draw_diagram(figure, (0, 0), panel)
    return PaperFigure(
        number=1,
        title="What earlier methods ignore",
        caption=(
            "Drawn after the paper's description. Earlier methods tune a foundation model on "
            "imbalanced downstream data and re-balance these (data imbalance). The data that the "
            "model was pre-trained on are imbalanced as well, and act through its parameters "
            "(parameter imbalance); this influence (dashed) they ignore. Bars, each sorted: the "
            f"estimated prior q of {context.members[member]} and the training images per class, "
            f"{context.datasets[dataset]}."
        ),
        figure=figure,
        data=diagram_data(panel),
    )

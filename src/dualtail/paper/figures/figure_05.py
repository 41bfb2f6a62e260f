"""Figure 5: the causal graph of Section 5.1, and the framework: M models are M factors, averaged."""

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
from dualtail.paper.style import (
    BLACK,
    DATA,
    DOUBLE,
    GRAY,
    MEMBERS,
    PARAMETERS,
    PaperFigure,
    drawing,
)

GRAPH = 2.25
"""Height of the causal graphs, inches."""
LANE = 0.8
"""Height of one member."""
TOP, BOTTOM = 0.6, 0.5
"""Space above and below the members."""
CAUSES = (
    Node("U", "$U$\ninaccessible\nsemantic factor", 0.56, 1.55, 1.06, 0.66, GRAY, round=True),
    Node("C", "$C$\nincomplete\nsemantic factor", 1.78, 1.55, 1.06, 0.66, PARAMETERS, round=True),
    Node("D", "$D$\nparameter\nimbalance", 2.98, 1.55, 0.86, 0.66, PARAMETERS, round=True),
    Node("X", "$X$\nimbalanced\ndata", 0.6, 0.4, 0.92, 0.64, DATA, round=True),
    Node("B", "$B$\nbalanced\nrepresentation", 1.86, 0.4, 1.06, 0.64, BLACK, round=True),
    Node("Y", "$Y$\nlabel", 3.05, 0.4, 0.66, 0.56, BLACK, round=True),
)
PATH = "backdoor path\n$X \\leftarrow C \\rightarrow Y$"
COMMON = (
    Edge("D", "C"),
    Edge("U", "X"),
    Edge("X", "B", "LA", shift=(0, 0.09)),
    Edge("B", "Y"),
)
OBSERVED = (
    *COMMON,
    Edge("C", "X", color=PARAMETERS, dashed=True),
    Edge("C", "Y", PATH, PARAMETERS, True, shift=(0.56, 0)),
)
INTERVENED = (
    *COMMON,
    Edge("C", "X", "$do(X)$", GRAY, True, cut=True, shift=(0.36, -0.08)),
    Edge("C", "Y", "averaged\nover $P(C)$", shift=(0.54, 0)),
)


def build(lookup: ScoreLookup) -> PaperFigure:
    """Draw the graph, observed and under the intervention; below it a lane per member, with priors."""
    context, half = lookup.context, DOUBLE / 2
    observed = Panel("observed", half, GRAPH, CAUSES, OBSERVED)
    intervened = Panel("intervention", half, GRAPH, CAUSES, INTERVENED)
    framework = _framework(lookup)
    with drawing(framework.height + GRAPH) as figure:
        draw_diagram(figure, (0, framework.height), observed, "(a) observed: $P(Y\\,|\\,X)$")
        under = "(b) under the intervention: $P(Y\\,|\\,do(X))$"
        draw_diagram(figure, (half, framework.height), intervened, under)
        draw_diagram(figure, (0, 0), framework, "(c) the framework")
    return PaperFigure(
        number=5,
        title="The causal graph and the framework",
        caption=(
            "Drawn after the paper's description. Data X show an incomplete semantic factor C, which "
            "parameter imbalance D selects, and inaccessible ones U; re-balancing (LA, Eq. 2) makes "
            "of them a balanced representation B, from which labels Y are predicted. (a) The "
            "backdoor path X ← C → Y (dashed) is open. (b) do(X) cuts C → X. (c) Each of "
            f"M = {len(context.members)} foundation models, with a pre-training prior q of its own, is "
            "one value c of C; all are tuned on the same long-tailed images, and the mean of their "
            "predictions, P(c) = 1/M, is the backdoor adjustment (Eq. 7). Bars, each sorted: "
            "estimated q of each model and training images per class, "
            f"{context.datasets[context.places]}."
        ),
        figure=figure,
        data=diagram_data(observed, intervened, framework),
    )


def _framework(lookup: ScoreLookup) -> Panel:
    """A lane per member from its prior to P(Y | b, c), and their mean."""
    context = lookup.context
    dataset, members = context.places, context.members
    height = LANE * len(members) + TOP + BOTTOM
    lanes = [height - TOP - LANE * (m + 0.4) for m in range(len(members))]
    middle, counts = (lanes[0] + lanes[-1]) / 2, count_bars(lookup, dataset)
    nodes = [
        Node("title 1", "pre-training", 1.25, height - 0.38, size=8),
        Node("title 2", "tuning", 3.2, height - 0.38, size=8),
        Node("title 3", "backdoor adjustment", 5.35, height - 0.38, size=8),
        Node(
            "mean", "$\\sum_c P(Y\\,|\\,b, c)\\,P(c)$\n$P(c) = 1/M$", 5.36, middle, 1.1, 0.6, BLACK
        ),
        Node("result", "$P(Y\\,|\\,do(X))$", 6.52, middle, 0.82, 0.42, BLACK),
        Node("training images", "", 3.2, 0.27, 0.98, 0.4, DATA, bars=counts),
        Node("data", "data imbalance: the same\nlong-tailed images, $\\pi_S$", 4.45, 0.27),
        Node("parameters", "parameter imbalance:\ncorpora of their own", 0.65, 0.27),
    ]
    edges = [Edge("mean", "result")]
    for m, ((member, label), y) in enumerate(zip(members.items(), lanes, strict=True)):
        color, prior = MEMBERS[m % len(MEMBERS)], prior_bars(lookup, dataset, member)
        factor = f"$P(Y\\,|\\,b, c_{{{m + 1}}})$"
        nodes += [
            Node(f"prior {member}", f"prior $q_{{{m + 1}}}$", 0.65, y + 0.3),
            Node(f"q of {member}", "", 0.65, y, 0.98, 0.42, color, bars=prior),
            Node(
                f"model {member}", label, 1.84, y, 0.86, 0.42, color, size=min(8, 104 / len(label))
            ),
            Node(f"tuned {member}", "PEFT + LA", 3.2, y, 0.9, 0.42, color, size=8),
            Node(f"factor {member}", factor, 4.22, y, 0.8, 0.42, color, size=8),
        ]
        edges += [
            Edge(f"q of {member}", f"model {member}"),
            Edge(f"model {member}", f"tuned {member}", "frozen", shift=(0, 0.09)),
            Edge("training images", f"tuned {member}", color=DATA),
            Edge(f"tuned {member}", f"factor {member}"),
            Edge(f"factor {member}", "mean"),
        ]
    return Panel("framework", DOUBLE, height, nodes, edges)

"""Figure 10: more of Figure 4, on every dataset."""

from dualtail.paper.cam_panels import TIGHT, columns_of, draw_rows, sizes_of
from dualtail.paper.context import PaperContext
from dualtail.paper.figures import figure_04
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.style import PaperFigure, drawing

ROWS = 6
"""Most rows, shared by the datasets."""


def build(lookup: ScoreLookup) -> PaperFigure:
    """Draw further images of every dataset with their maps."""
    import pandas as pd

    context = lookup.context
    shown = [(dataset, row) for dataset in context.datasets for row in _rows(context, dataset)]
    columns = columns_of(context, context.examples_of(context.places))
    side, width = sizes_of(columns)
    with drawing(side * len(shown) + 0.45, width) as figure:
        figure.get_layout_engine().set(**TIGHT)  # type: ignore[union-attr]
        axes = figure.subplots(len(shown), len(columns) + 1, squeeze=False)
        data = draw_rows(axes, context, shown, columns)
        for i, (dataset, _) in enumerate(shown):
            if i == 0 or shown[i - 1][0] != dataset:
                axes[i, 0].set_ylabel(f"{context.datasets[dataset]}\n{axes[i, 0].get_ylabel()}")
    return PaperFigure(
        number=10,
        title="More of what every semantic factor looks at",
        caption=(
            "As Figure 4: Grad-CAM of the true class, models tuned with "
            f"{context.pefts[context.first_peft]}, each map scaled to its own maximum (bright); "
            "gray alone: nothing positive."
        ),
        figure=figure,
        data=pd.DataFrame(data),
    )


def _rows(context: PaperContext, dataset: str) -> range:
    """Examples of a dataset that Figure 4 does not show; all if there are no others."""
    n = len(context.examples_of(dataset))
    first = figure_04.ROWS if dataset == context.places and n > figure_04.ROWS else 0
    return range(first, min(first + max(1, ROWS // len(context.datasets)), n))

"""Figure 10: more of Figure 4, on every dataset."""

from typing import TYPE_CHECKING

from dualtail.paper.cam_panels import LABELS, TIGHT, columns_of, draw_row, row_data
from dualtail.paper.context import PaperContext
from dualtail.paper.figures import figure_04
from dualtail.paper.style import DOUBLE, PaperFigure, styled

if TYPE_CHECKING:
    import pandas as pd

ROWS = 6
"""Most rows, shared by the datasets."""


def build(scores: "pd.DataFrame", per_class: "pd.DataFrame", context: PaperContext) -> PaperFigure:
    """Draw further images of every dataset with their maps.

    Raises:
        UserError: there are no explained images of a dataset, or no maps of a model.
    """
    del scores, per_class  # every figure is built from the same arguments
    import pandas as pd
    from matplotlib.figure import Figure

    shown = [(dataset, row) for dataset in context.datasets for row in _rows(context, dataset)]
    columns = columns_of(context, context.examples_of(context.places))
    data = []
    cell = (DOUBLE - LABELS) / (len(columns) + 1)
    with styled():
        figure = Figure(figsize=(DOUBLE, cell * len(shown) + 0.45))
        figure.get_layout_engine().set(**TIGHT)  # type: ignore[union-attr]
        axes = figure.subplots(len(shown), len(columns) + 1, squeeze=False)
        for i, (dataset, row) in enumerate(shown):
            examples = context.examples_of(dataset)
            draw_row(list(axes[i]), examples, row, columns)
            label = f"“{examples.header.class_names[row]}”".replace(" ", "\n")
            if i == 0 or shown[i - 1][0] != dataset:
                label = f"{context.datasets[dataset]}\n{label}"
            axes[i, 0].set_ylabel(label)
            data += row_data(examples, dataset, row, columns)
        axes[0, 0].set_title("image")
        for ax, column in zip(axes[0, 1:], columns, strict=True):
            ax.set_title(f"{column.title}\n{column.subtitle}")
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

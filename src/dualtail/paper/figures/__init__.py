"""The paper's figures, one module each: `build(scores, per_class, context) -> PaperFigure`."""

from importlib import import_module
from typing import TYPE_CHECKING

from dualtail.errors import UserError
from dualtail.paper.contents import FIGURES
from dualtail.paper.context import PaperContext
from dualtail.paper.style import PaperFigure

if TYPE_CHECKING:
    import pandas as pd


def build_figure(
    number: int, scores: "pd.DataFrame", per_class: "pd.DataFrame", context: PaperContext
) -> PaperFigure:
    """Build one figure from the score table and the table of class accuracies.

    Raises:
        UserError: no such figure here, or the tables lack a row it needs.
    """
    if number not in FIGURES:
        known = ", ".join(str(known) for known in FIGURES)
        raise UserError(f"figure {number}: not built here; known: {known}")
    module = import_module(f"dualtail.paper.figures.figure_{number:02d}")
    return module.build(scores, per_class, context)

"""The paper's figures, one module each: `build(lookup) -> PaperFigure`."""

from dualtail.errors import UserError
from dualtail.paper.figures import (
    figure_01,
    figure_02,
    figure_03,
    figure_04,
    figure_05,
    figure_06,
    figure_07,
    figure_08,
    figure_09,
    figure_10,
    figure_11,
    figure_12,
)
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.style import PaperFigure

_MODULES = (
    figure_01, figure_02, figure_03, figure_04, figure_05, figure_06, figure_07, figure_08,
    figure_09, figure_10, figure_11, figure_12,
)  # fmt: skip
BUILDERS = {number: module.build for number, module in enumerate(_MODULES, start=1)}
"""Number of a figure -> how it is drawn from the scores."""


def build_figure(number: int, lookup: ScoreLookup) -> PaperFigure:
    """Build one figure from the scores and the class accuracies.

    Raises:
        UserError: no such figure here, or the tables lack a row it needs.
    """
    if number not in BUILDERS:
        known = ", ".join(map(str, BUILDERS))
        raise UserError(f"figure {number}: not built here; known: {known}")
    return BUILDERS[number](lookup)

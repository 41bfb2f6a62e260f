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

BUILDERS = {
    1: figure_01.build,
    2: figure_02.build,
    3: figure_03.build,
    4: figure_04.build,
    5: figure_05.build,
    6: figure_06.build,
    7: figure_07.build,
    8: figure_08.build,
    9: figure_09.build,
    10: figure_10.build,
    11: figure_11.build,
    12: figure_12.build,
}
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

"""The paper's tables and that of every predictor, each laid out by a function of the scores."""

from collections.abc import Callable, Mapping
from functools import partial

from dualtail.errors import UserError
from dualtail.paper.layout import Table
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.tables import (
    all_predictors,
    published_methods,
    sets_of_models,
    table_01,
    table_02,
    table_03,
    table_04,
    table_09,
    table_10,
    table_12,
    table_13,
    table_14,
    table_15,
    table_16,
)

BUILDERS: Mapping[str, Callable[[ScoreLookup], Table]] = {
    "1": table_01.build,
    "2": table_02.build,
    "3": table_03.build,
    "4": table_04.build,
    "5": partial(published_methods.build, number=5, role="places365_lt"),
    "6": partial(published_methods.build, number=6, role="imagenet_lt"),
    "7": partial(published_methods.build, number=7, role="inat2018"),
    "8": partial(sets_of_models.build, number=8, place=0),
    "9": table_09.build,
    "10": table_10.build,
    "11": partial(sets_of_models.build, number=11, place=1),
    "12": table_12.build,
    "13": table_13.build,
    "14": table_14.build,
    "15": table_15.build,
    "16": table_16.build,
    all_predictors.NAME: all_predictors.build,
}
"""Number of a table, or `all_predictors` -> how it is laid out from the scores."""


def build_table(which: int | str, lookup: ScoreLookup) -> Table:
    """Build one table from the scores.

    Raises:
        UserError: no such table here, or the scores lack a row it needs.
    """
    if str(which) not in BUILDERS:
        raise UserError(f"table {which}: not built here; known: {', '.join(BUILDERS)}")
    return BUILDERS[str(which)](lookup)

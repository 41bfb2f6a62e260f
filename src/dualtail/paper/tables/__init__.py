"""The paper's tables and that of every predictor, one module each: `build(lookup) -> Table`."""

from dualtail.errors import UserError
from dualtail.paper.layout import Table
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.tables import (
    all_predictors,
    table_01,
    table_02,
    table_03,
    table_04,
    table_05,
    table_06,
    table_07,
    table_08,
    table_09,
    table_10,
    table_11,
    table_12,
    table_13,
    table_14,
    table_15,
    table_16,
)

_MODULES = (
    table_01, table_02, table_03, table_04, table_05, table_06, table_07, table_08,
    table_09, table_10, table_11, table_12, table_13, table_14, table_15, table_16,
)  # fmt: skip
BUILDERS = {str(number): module.build for number, module in enumerate(_MODULES, start=1)} | {
    all_predictors.NAME: all_predictors.build
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

"""The paper's tables, one module each: `build(lookup) -> Table`."""

from dualtail.errors import UserError
from dualtail.paper.layout import Table
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.tables import (
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
BUILDERS = {number: module.build for number, module in enumerate(_MODULES, start=1)}
"""Number of a table -> how it is laid out from the scores."""


def build_table(number: int, lookup: ScoreLookup) -> Table:
    """Build one table from the scores.

    Raises:
        UserError: no such table here, or the scores lack a row it needs.
    """
    if number not in BUILDERS:
        known = ", ".join(map(str, BUILDERS))
        raise UserError(f"table {number}: not built here; known: {known}")
    return BUILDERS[number](lookup)

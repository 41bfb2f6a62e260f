"""The paper's tables, one module each: `build(lookup) -> Table`."""

from functools import partial

from dualtail.errors import UserError
from dualtail.paper.layout import Table
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.tables import (
    table_01,
    table_02,
    table_03,
    table_04,
    table_05,
    table_08,
    table_09,
    table_10,
    table_12,
    table_13,
    table_14,
    table_15,
    table_16,
)

BUILDERS = {
    1: table_01.build,
    2: table_02.build,
    3: table_03.build,
    4: table_04.build,
    5: partial(table_05.build, number=5, role="places365_lt"),
    6: partial(table_05.build, number=6, role="imagenet_lt"),
    7: partial(table_05.build, number=7, role="inat2018"),
    8: partial(table_08.build, number=8),
    9: table_09.build,
    10: table_10.build,
    11: partial(table_08.build, number=11),
    12: table_12.build,
    13: table_13.build,
    14: table_14.build,
    15: table_15.build,
    16: table_16.build,
}
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

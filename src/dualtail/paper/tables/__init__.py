"""The paper's tables, one module each: `build(scores, context) -> Table`."""

from importlib import import_module
from typing import TYPE_CHECKING

from dualtail.errors import UserError
from dualtail.paper.contents import TABLES
from dualtail.paper.context import PaperContext
from dualtail.paper.layout import Table

if TYPE_CHECKING:
    import pandas as pd


def build_table(number: int, scores: "pd.DataFrame", context: PaperContext) -> Table:
    """Build one table from the score table.

    Raises:
        UserError: no such table here, or the scores lack a row it needs.
    """
    if number not in TABLES:
        known = ", ".join(str(known) for known in TABLES)
        raise UserError(f"table {number}: not built here; known: {known}")
    module = import_module(f"dualtail.paper.tables.table_{number:02d}")
    return module.build(scores, context)

"""Stage table: one table of the paper."""

from dualtail.errors import UserError
from dualtail.jobs import PaperJob
from dualtail.paper.layout import write_paper_table
from dualtail.paper.tables import build_table
from dualtail.stages.paper_inputs import paper_context, scores_and_costs


def run(number: str, job: PaperJob) -> None:
    """Write the table as CSV, Markdown and LaTeX.

    Raises:
        UserError: no such table, or the scores lack rows that it shows.
    """
    if not number.isdecimal():
        raise UserError(f"table {number!r}: give its number in the paper")
    table = build_table(int(number), scores_and_costs(job), paper_context(job))
    write_paper_table(table, job.root / "tables")

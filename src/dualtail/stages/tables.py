"""Stage tables: tables of the paper."""

from collections.abc import Sequence
from pathlib import Path

from dualtail.paper.files import PaperFiles
from dualtail.paper.layout import write_table
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.tables import build_table
from dualtail.stages.paper_inputs import paper_context, scores_and_costs


def run(numbers: Sequence[int], files: PaperFiles, out: Path) -> None:
    """Write tables as CSV, Markdown and LaTeX into a folder.

    Raises:
        UserError: no such table, or the scores lack rows that it shows.
    """
    lookup = ScoreLookup(scores_and_costs(files), paper_context(files))
    for number in numbers:
        write_table(build_table(number, lookup), out)

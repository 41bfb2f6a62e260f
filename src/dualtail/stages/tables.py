"""Stage tables: tables of the paper, and that of every predictor."""

from collections.abc import Sequence
from pathlib import Path

from dualtail.paper.files import PaperFiles
from dualtail.paper.layout import write_table
from dualtail.paper.tables import build_table
from dualtail.stages.paper_inputs import lookup_of


def run(tables: Sequence[int | str], files: PaperFiles, out: Path) -> None:
    """Write tables as CSV, Markdown and LaTeX into a folder."""
    with lookup_of(files) as lookup:
        for table in tables:
            write_table(build_table(table, lookup), out)

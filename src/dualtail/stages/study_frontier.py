"""Stage study-frontier: accuracy against cost of everything that a run could deploy."""

from pathlib import Path

from dualtail.paper.files import PaperFiles
from dualtail.paper.layout import write_table
from dualtail.paper.style import write_figure
from dualtail.stages.paper_inputs import read_lookup
from dualtail.studies.frontier import frontier_figure, frontier_table


def run(files: PaperFiles, out: Path) -> None:
    """Write frontier.csv, frontier.md, and the figure under figures/."""
    lookup = read_lookup(files)
    write_table(frontier_table(lookup), out)
    write_figure(frontier_figure(lookup), out / "figures")

"""Stage figures: figures of the paper."""

from collections.abc import Sequence
from pathlib import Path

from dualtail.paper.figures import build_figure
from dualtail.paper.files import PaperFiles
from dualtail.paper.style import write_figure
from dualtail.stages.paper_inputs import lookup_of


def run(numbers: Sequence[int], files: PaperFiles, out: Path) -> None:
    """Write figures as PDF and PNG, and the numbers they draw as CSV, into a folder."""
    with lookup_of(files, classes=True) as lookup:
        for number in numbers:
            write_figure(build_figure(number, lookup), out)

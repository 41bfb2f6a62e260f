"""Stage figures: figures of the paper."""

from collections.abc import Sequence
from pathlib import Path

from dualtail.paper.figures import build_figure
from dualtail.paper.files import PaperFiles
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.style import write_figure
from dualtail.stages.paper_inputs import class_scores, paper_context, scores_and_costs


def run(numbers: Sequence[int], files: PaperFiles, out: Path) -> None:
    """Write figures as PDF and PNG, and the numbers they draw as CSV, into a folder.

    Raises:
        UserError: no such figure, or the scores lack rows that it shows.
    """
    lookup = ScoreLookup(scores_and_costs(files), paper_context(files), class_scores(files))
    for number in numbers:
        write_figure(build_figure(number, lookup), out)

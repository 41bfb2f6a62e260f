"""Stage figures: figures of the paper."""

from collections.abc import Sequence

from dualtail.jobs import PaperJob
from dualtail.paper.figures import build_figure
from dualtail.paper.style import write_paper_figure
from dualtail.scores.schema import PER_CLASS, read_frame
from dualtail.stages.paper_inputs import paper_context, scores_and_costs


def run(numbers: Sequence[int], job: PaperJob) -> None:
    """Write figures as PDF and PNG, and the numbers they draw as CSV.

    Raises:
        UserError: no such figure, or the scores lack rows that it shows.
    """
    scores, context = scores_and_costs(job), paper_context(job)
    classes = read_frame(job.class_scores, PER_CLASS)
    for number in numbers:
        write_paper_figure(build_figure(number, scores, classes, context), job.root / "figures")

"""Stage figure: one figure of the paper."""

from dualtail.errors import UserError
from dualtail.jobs import PaperJob
from dualtail.paper.figures import build_figure
from dualtail.paper.style import write_paper_figure
from dualtail.scores.schema import PER_CLASS, read_frame
from dualtail.stages.paper_inputs import paper_context, scores_and_costs


def run(number: str, job: PaperJob) -> None:
    """Write the figure as PDF and PNG, and the numbers it draws as CSV.

    Raises:
        UserError: no such figure, or the scores lack rows that it shows.
    """
    if not number.isdecimal():
        raise UserError(f"figure {number!r}: give its number in the paper")
    classes = read_frame(job.class_scores, PER_CLASS)
    figure = build_figure(int(number), scores_and_costs(job), classes, paper_context(job))
    write_paper_figure(figure, job.root / "figures")

"""Stage summary: what came out, in sentences with numbers."""

from dualtail.files import write_text
from dualtail.jobs import PaperJob
from dualtail.paper.summary import build_summary
from dualtail.scores.schema import PER_CLASS, read_frame
from dualtail.stages.paper_inputs import paper_context, scores_and_costs


def run(job: PaperJob) -> None:
    """Write summary.md.

    Raises:
        UserError: the scores lack rows that it speaks of.
    """
    classes = read_frame(job.class_scores, PER_CLASS)
    text = build_summary(scores_and_costs(job), classes, paper_context(job))
    write_text(job.root / "summary.md", text)

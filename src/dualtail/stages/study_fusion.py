"""Stage study-fusion: fusion by logits against fusion by probabilities."""

from dualtail.jobs import PaperJob
from dualtail.paper.layout import write_study_table
from dualtail.paper.style import write_paper_figure
from dualtail.stages.paper_inputs import paper_context, scores_and_costs
from dualtail.studies.fusion_modes import fusion_modes_figure, fusion_modes_table


def run(job: PaperJob) -> None:
    """Write logits_probabilities.csv, logits_probabilities.md, and the figure under figures/.

    Raises:
        UserError: the scores lack a fusion.
    """
    scores, context = scores_and_costs(job), paper_context(job)
    folder = job.root / "studies"
    write_study_table(fusion_modes_table(scores, context), folder)
    write_paper_figure(fusion_modes_figure(scores, context), folder / "figures")

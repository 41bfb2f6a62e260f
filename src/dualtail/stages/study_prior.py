"""Stage study-prior: estimated against true prior, by every estimator. No model, no torch."""

from dualtail.jobs import StudyPriorJob
from dualtail.outputs import read_outputs
from dualtail.paper.layout import write_study_table
from dualtail.paper.style import write_paper_figure
from dualtail.stages.prior import true_prior
from dualtail.studies.prior_recovery import KnownPrior, estimate_all, prior_figure, prior_table


def run(job: StudyPriorJob) -> None:
    """Write prior.csv, prior.md, and the figure under figures/.

    Raises:
        UserError: an unreadable dump, or a corpus without one of its classes.
    """
    priors = []
    for entry in job.priors:
        outputs = read_outputs(entry.outputs)
        truth = true_prior(entry.true_list, entry.true_names, outputs.header.class_names)
        priors.append(KnownPrior(entry.label, entry.member, outputs, truth))
    estimates = estimate_all(priors, job.seed)
    write_study_table(prior_table(estimates), job.root)
    write_paper_figure(prior_figure(estimates), job.root / "figures")

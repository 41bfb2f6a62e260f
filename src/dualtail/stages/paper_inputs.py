"""What tables, figures and the summary are made from, read from disk."""

from typing import TYPE_CHECKING

from dualtail.explain.examples import read_examples
from dualtail.jobs import PaperJob
from dualtail.paper.context import PaperContext
from dualtail.scores.schema import SCORES, concatenate, read_frame

if TYPE_CHECKING:
    import pandas as pd


def scores_and_costs(job: PaperJob) -> "pd.DataFrame":
    """The score table with the rows of costs."""
    return concatenate([read_frame(job.scores, SCORES), read_frame(job.costs, SCORES)], SCORES)


def paper_context(job: PaperJob) -> PaperContext:
    """Names, order, roles, priors and explained images of the run."""
    import pandas as pd

    priors = {(entry.dataset, entry.member): pd.read_csv(entry.prior) for entry in job.priors}
    examples = {dataset: read_examples(path) for dataset, path in job.examples.items()}
    text = dict.fromkeys(("members", "peft", "loss", "fusion"), str)
    grad_cam = (
        None
        if job.grad_cam is None
        else pd.read_csv(job.grad_cam, dtype=text, keep_default_na=False)
    )
    return PaperContext.from_config(job.config, priors, examples, grad_cam, job.confounder)

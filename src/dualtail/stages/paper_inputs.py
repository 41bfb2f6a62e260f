"""What tables, figures and the summary are made from, read from disk."""

from typing import TYPE_CHECKING

from dualtail.jobs import PaperJob
from dualtail.paper.context import PaperContext
from dualtail.scores.schema import SCORES, concatenate, read_frame

if TYPE_CHECKING:
    import pandas as pd


def scores_and_costs(job: PaperJob) -> "pd.DataFrame":
    """The score table with the rows of costs."""
    return concatenate([read_frame(job.scores, SCORES), read_frame(job.costs, SCORES)], SCORES)


def paper_context(job: PaperJob) -> PaperContext:
    """Names, order, roles and priors of the run."""
    import pandas as pd

    priors = {(entry.dataset, entry.member): pd.read_csv(entry.prior) for entry in job.priors}
    return PaperContext.from_config(job.config, priors, job.confounder)

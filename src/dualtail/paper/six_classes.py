"""Results of the six-class study (D.7): accuracies of every training set on every test set."""

import math
from typing import NamedTuple

import numpy as np

from dualtail.confounder.sets import DATASET, SETS
from dualtail.errors import UserError
from dualtail.paper.lookup import ScoreLookup


class SeedMean(NamedTuple):
    """A mean of accuracies over seeds in percent, their standard deviation (n - 1), and how many."""

    mean: float
    deviation: float
    seeds: int

    def __str__(self) -> str:
        spread = "" if math.isnan(self.deviation) else f" ± {self.deviation:.1f}"
        return f"{self.mean:.1f}{spread}"


def final_accuracies(lookup: ScoreLookup) -> dict[tuple[str, str], SeedMean]:
    """Return (training set, test set) -> accuracy after training.

    Raises:
        UserError: the scores lack the study.
    """
    architecture = lookup.context.config["confounder"]["training"]["architecture"]
    rows = lookup.scores.query(
        f"dataset == '{DATASET}' and kind == 'scratch' and metric == 'accuracy' and group == 'Overall'"
    )
    found = {}
    for train in SETS:
        for test in SETS:
            members, split = f"{architecture}.{train}", f"{test}_test"
            chosen = rows[(rows["members"] == members) & (rows["split"] == split)]
            values = chosen["value"].to_numpy(float)
            if not values.size:
                raise UserError(
                    f"the scores of run {lookup.context.run!r} lack the accuracy of {members!r} on "
                    f"{DATASET}/{split}: make these outputs and score them"
                )
            deviation = float(np.std(values, ddof=1)) if values.size > 1 else math.nan
            found[train, test] = SeedMean(float(values.mean()), deviation, values.size)
    return found

"""What came out of the six-class study (D.7): accuracies of every training set on every test set."""

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dualtail.confounder.sets import DATASET, SETS
from dualtail.errors import UserError
from dualtail.paper.context import PaperContext

if TYPE_CHECKING:
    import pandas as pd


class SeedMean(NamedTuple):
    """A mean over seeds.

    Attributes:
        mean: Of the accuracies, in percent.
        deviation: Their standard deviation (n - 1), NaN for a single seed.
        seeds: How many.
    """

    mean: float
    deviation: float
    seeds: int

    def __str__(self) -> str:
        spread = "" if math.isnan(self.deviation) else f" ± {self.deviation:.1f}"
        return f"{self.mean:.1f}{spread}"


def final_accuracies(
    scores: "pd.DataFrame", context: PaperContext
) -> dict[tuple[str, str], SeedMean]:
    """Return (training set, test set) -> accuracy after training, mean over seeds.

    Raises:
        UserError: the scores lack the study.
    """
    architecture = context.config["confounder"]["training"]["architecture"]
    wanted = {"run": context.run, "dataset": DATASET, "kind": "scratch", "metric": "accuracy"}
    rows = scores
    for name, value in wanted.items():
        rows = rows[rows[name] == value]
    found = {}
    for train in SETS:
        for test in SETS:
            members, split = f"{architecture}.{train}", f"{test}_test"
            chosen = rows[(rows["members"] == members) & (rows["split"] == split)]
            values = chosen[chosen["group"] == "Overall"]["value"].to_numpy(float)
            if not values.size:
                raise UserError(
                    f"the scores of run {context.run!r} lack the accuracy of {members!r} on "
                    f"{DATASET}/{split}: make these outputs and score them"
                )
            deviation = float(np.std(values, ddof=1)) if values.size > 1 else math.nan
            found[train, test] = SeedMean(float(values.mean()), deviation, values.size)
    return found

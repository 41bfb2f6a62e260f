"""Mean of probabilities (Eq. 7)."""

from collections.abc import Sequence

import numpy as np

from dualtail.bias.fusion_rules.method import FusionRule
from dualtail.bias.softmax import FloatArray, log_softmax


class MeanProbabilities(FusionRule):
    """The log of the weighted mean of softmax probabilities.

    Worked out in logarithms, so that a class far from winning keeps its rank instead of log 0.
    """

    def fuse(self, members: Sequence[FloatArray], weights: FloatArray) -> FloatArray:
        total = log_softmax(members[0]) + np.log(weights[0])
        for weight, block in zip(weights[1:], members[1:], strict=True):
            np.logaddexp(total, log_softmax(block) + np.log(weight), out=total)
        return total


METHOD = MeanProbabilities
